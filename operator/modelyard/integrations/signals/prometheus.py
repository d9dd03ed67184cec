"""Queries Prometheus. One that answers slowly, endlessly or not at all is an error that says what to do."""

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException

from modelyard.api.settings import Prometheus
from modelyard.contract.untrusted import bounded

ANSWER_LIMIT_BYTES = 32 * 2**20
"""Longest answer that is read: 4,500 pods with two samples of 18 series each. In memory it takes six times as much."""

TOKEN = re.compile(r"[!-~]+")
"""What a header can carry, without spaces."""

Series = dict[str, Any]

NOT_PROMETHEUS = "answers, but not as Prometheus does. Check prometheus.url in the settings."


class QueryError(Exception):
    """There is no result; the message is for people, and goes on after the Prometheus's address."""


def query(settings: Prometheus, promql: str) -> list[Series]:
    """The series that ``promql`` selects. Blocks, for the settings' time limit at most. Raises QueryError."""
    with _Session(settings.timeout_s) as session:
        if settings.ca_file is not None:
            session.verify = str(settings.ca_file)
        headers = _headers(settings.bearer_token_file)
        try:
            (urlsplit(settings.url).hostname or "").encode("idna")  # which refuses a label that is too long
            prometheus = PrometheusConnect(
                settings.url.rstrip("/"), headers=headers, session=session, retry=0, timeout=settings.timeout_s
            )
        except ValueError as error:
            raise QueryError(_no_url(error)) from error
        try:
            result = prometheus.custom_query(promql)
        except PrometheusApiClientException as error:
            raise QueryError(_refusal(str(error))) from error
        except (requests.exceptions.JSONDecodeError, KeyError, TypeError) as error:
            raise QueryError(NOT_PROMETHEUS) from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise QueryError(_failure(error, settings)) from error
        except (ValueError, RecursionError) as error:  # JSON with a number of 5,000 digits, or nested without end
            raise QueryError(NOT_PROMETHEUS) from error
    if not isinstance(result, list):
        raise QueryError(NOT_PROMETHEUS)
    return result


def _headers(token_file: Path | None) -> dict[str, str]:
    """Read for each query: the token of a service account is replaced every hour."""
    if token_file is None:
        return {}
    try:
        token = token_file.read_text().strip()
    except (OSError, ValueError) as error:
        raise QueryError(
            f"gets no query: prometheus.bearer_token_file in the settings cannot be read: {error}"
        ) from error
    if not TOKEN.fullmatch(token):  # requests would refuse it with an error that has the token
        raise QueryError("gets no query: prometheus.bearer_token_file in the settings has no token of one ASCII word.")
    return {"Authorization": f"Bearer {token}"}


def _no_url(error: Exception) -> str:
    return f"gets no query: {_reason(error)}. Check prometheus.url in the settings."


def _refusal(answer: str) -> str:
    status = int(found[1]) if (found := re.match(r"HTTP Status Code (\d{3})", answer)) else 0
    if status in (401, 403):
        return f"refuses the token (status {status}). Check prometheus.bearer_token_file in the settings."
    if status in (404, 405) or 300 <= status < 400:
        return f"has no query API there (status {status}). Check prometheus.url in the settings, its path included."
    return f"refuses the query: {bounded(answer, 300)}"


def _failure(error: Exception, settings: Prometheus) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"cannot be trusted: {_reason(error)}. Set prometheus.ca_file in the settings to the CA of its certificate."
        )
    if isinstance(error, requests.exceptions.Timeout):
        return f"gave no answer in {settings.timeout_s:g} s."
    if isinstance(error, requests.exceptions.ConnectionError):
        return f"cannot be reached: {_reason(error)}. Check prometheus.url in the settings, and NetworkPolicies."
    if isinstance(error, requests.exceptions.RequestException):
        return f"gave no usable answer: {_reason(error)}."
    return f"gets no query: prometheus.ca_file in the settings cannot be read: {_reason(error)}."


def _reason(error: BaseException) -> str:
    """The innermost error, which is the one that says something."""
    while isinstance(inner := getattr(error, "reason", None) or next(iter(error.args), None), BaseException):
        error = inner
    return bounded(str(error), 200)


class _Session(requests.Session):
    """Reads no more than ANSWER_LIMIT_BYTES, and for no longer than ``limit_s``.

    No proxy, password file or CA of the environment plays a part, and no redirect is followed with the token.
    """

    def __init__(self, limit_s: float) -> None:
        super().__init__()
        self._end_s = time.monotonic() + limit_s
        self.trust_env = False

    def request(self, *arguments: Any, **named: Any) -> requests.Response:
        """As in requests, with the body read."""
        with super().request(*arguments, **{**named, "stream": True, "allow_redirects": False}) as answer:
            answer._content = self._read(answer)  # noqa: SLF001 - what .content and .json() return after the close
            return answer

    def _read(self, answer: requests.Response) -> bytes:
        pieces, left_bytes = [], ANSWER_LIMIT_BYTES
        for piece in answer.iter_content(2**16):
            pieces.append(piece)
            left_bytes -= len(piece)
            if left_bytes < 0:
                raise requests.exceptions.ContentDecodingError(f"it is longer than {ANSWER_LIMIT_BYTES} bytes")
            if time.monotonic() > self._end_s:
                raise requests.exceptions.ReadTimeout
        return b"".join(pieces)
