"""The objects of a bucket, over connections of our own: heads and bytes. Refusals are read as boto3 reads them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import RestXMLParser

from modelyard.fetcher.failure import FetchError, Reason, StreamBrokenError
from modelyard.fetcher.sources.s3.errors import Asked, explain
from modelyard.fetcher.sources.s3.requests import ObjectRequests
from modelyard.fetcher.transport.connection import ConnectionFailedError, Trust
from modelyard.fetcher.transport.connection_errors import explain_connection
from modelyard.fetcher.transport.connection_pool import Answer, ConnectionPool
from modelyard.fetcher.transport.range_reader import ExactReader
from modelyard.fetcher.transport.ranges import begins_at, file_size, range_header

_ERROR_LIMIT_BYTES = 64 * 1024
_FAILURES = {500, 502, 504}
"""Stores give these now and then: the same request is answered the next time."""

_PASSING = {200, 206, 429, 503, *_FAILURES}
_TRIES = 3
_PAUSE_S = 0.2


@dataclass(frozen=True)
class Span:
    """Some bytes of an object."""

    offset: int
    length: int


class Objects:
    """Thread-safe. Every method raises FetchError by name for what the store refuses."""

    def __init__(self, requests: ObjectRequests, trust: Trust, asked: Asked) -> None:
        self._requests = requests
        self._connections = ConnectionPool(trust)
        self._asked = asked

    def head(self, key: str, version: str) -> Mapping[str, str]:
        """The object's headers, its checksums among them. ``version`` is the ETag that it must have."""
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._ask("HEAD", key, {"If-Match": version, "x-amz-checksum-mode": "ENABLED"}) as answer:
                    if answer.head.status == 200:
                        return answer.head.headers
                # An answer to HEAD has no body and so no error code: a GET is told why.
                with self._ask("GET", key, {"If-Match": version, "Range": range_header(0, 1)}) as answer:
                    refusal = self._refused(answer, key)
                    if answer.head.status not in _PASSING or not tries_left:
                        raise refusal
            except (ConnectionFailedError, StreamBrokenError) as error:
                if not tries_left:
                    raise explain_connection(str(error), self._asked.server) from error
            time.sleep(_PAUSE_S)
        raise AssertionError("the last try returns or raises")

    def open_range(self, key: str, version: str, size_bytes: int, span: Span) -> ExactReader:
        """The object's bytes. Raises StreamBrokenError when no answer comes."""
        headers = {"If-Match": version, "Range": range_header(span.offset, span.length)}
        try:
            answer = self._ask("GET", key, headers)
        except ConnectionFailedError as error:
            raise StreamBrokenError(str(error)) from error
        try:
            self._check(answer, key, size_bytes, span)
        except BaseException:
            answer.close()
            raise
        return ExactReader(answer, span.length)

    def _check(self, answer: Answer, key: str, size_bytes: int, span: Span) -> None:
        head = answer.head
        if head.status not in {200, 206}:
            refusal = self._refused(answer, key)
            raise StreamBrokenError(refusal.message) if head.status in _FAILURES else refusal
        if file_size(head.headers, head.status) != size_bytes:
            raise self._changed(key)
        if begins_at(head) != span.offset:
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"{self._asked.store} was asked for the bytes from {span.offset} on of {key} and sends others "
                f"({head.status}): it must support ranges, as S3 does",
            )

    def _ask(self, method: str, key: str, headers: Mapping[str, str]) -> Answer:
        try:
            url, signed = self._requests.signed(method, key, headers)
        except (ClientError, BotoCoreError) as error:
            raise explain(error, self._asked, key) from error
        return self._connections.ask(method, url, signed)

    def _refused(self, answer: Answer, key: str) -> FetchError:
        """What the store's answer means, read as boto3 reads it."""
        head = answer.head
        if head.status < 300:
            return self._changed(key)
        body = answer.document(_ERROR_LIMIT_BYTES)
        response = {"status_code": head.status, "headers": dict(head.headers), "body": body}
        parsed = RestXMLParser().parse(response, None)
        return explain(ClientError(parsed, "GetObject"), self._asked, key)

    def _changed(self, key: str) -> FetchError:
        return FetchError(
            Reason.SOURCE_CHANGED,
            f"s3://{self._asked.bucket}/{key} changed while it was fetched: the fetch begins anew. "
            "Upload a model under a new prefix rather than over one in use",
        )
