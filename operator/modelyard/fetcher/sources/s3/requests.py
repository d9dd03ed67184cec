"""Builds requests to one bucket as boto3 would send them, without boto3's cost of sending one.

boto3 decides how a bucket is addressed and with which identity. It prepares one request, which is never sent; all
others are built on its pattern and signed by botocore's signer (SigV4), each with the credentials of that moment: of
the Secret that the service names, else of the pod's cloud identity, else none.
"""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.utils import percent_encode, percent_encode_sequence
from urllib3 import HTTPResponse

from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.sources.mounted_files import secret_of

_ANY_KEY = "k"
_SAFE_IN_KEYS = "-._~/"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"
SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a Secret's key
SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a Secret's key


@dataclass(frozen=True)
class Credentials:
    """A boto3 session, and its identity as text for messages."""

    session: Any
    description: str
    anonymous: bool = False

    @property
    def current(self) -> Any:
        """What botocore signs with, and refreshes before it expires; None for an anonymous request."""
        return None if self.anonymous else self.session.get_credentials()


def read_credentials(configuration: Configuration) -> Credentials:
    """Reads the Secret's files as they are now, or uses boto3's chain of cloud identities.

    Raises FetchError(CREDENTIALS_MISSING) when the named Secret or one of its keys is not there. Where no Secret is
    named and the pod has no identity, the requests are anonymous, as for a public bucket.
    """
    secret = secret_of(configuration)
    if secret is None:
        session = boto3.Session()
        if session.get_credentials() is None:
            return Credentials(session, "an anonymous request (the service names no credentials)", anonymous=True)
        return Credentials(session, "the pod's cloud identity")
    keys = secret.read((ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN))
    missing = [key for key in (ACCESS_KEY_ID, SECRET_ACCESS_KEY) if not keys[key]]
    if missing:
        raise secret.lacks(" and ".join(missing))
    session = boto3.Session(
        aws_access_key_id=keys[ACCESS_KEY_ID],
        aws_secret_access_key=keys[SECRET_ACCESS_KEY],
        aws_session_token=keys[SESSION_TOKEN] or None,
    )
    return Credentials(session, f"the key in Secret {secret.name!r}")


def address_of(key: str, **query: str) -> str:
    """How requests name an object, or with an empty key the bucket itself: relative to the bucket, ready for a URL."""
    parameters = {name.replace("_", "-"): value for name, value in query.items()}
    path = str(percent_encode(key, safe=_SAFE_IN_KEYS))
    return f"{path}?{percent_encode_sequence(parameters)}" if query else path


def key_of(address: str) -> str:
    """The object's key; empty for the bucket itself."""
    return unquote(address.partition("?")[0])


@dataclass(frozen=True)
class _Form:
    """How to address a bucket; without ``region`` and ``service`` nothing is signed."""

    base_url: str
    region: str = ""
    service: str = ""


class BucketRequests:
    """Makes signed requests. Thread-safe."""

    def __init__(self, client_of: Callable[[str | None], Any], credentials: Any, bucket: str) -> None:
        """``client_of`` makes boto3's client for a region, or with None for the configured one; ``credentials`` are
        botocore's, which it refreshes, or None for anonymous requests.
        """
        self._client_of = client_of
        self._client = client_of(None)
        self._credentials = credentials
        self._bucket = bucket
        self._lock = threading.Lock()
        self._form: _Form | None = None
        self._has_moved = False

    def signed(self, method: str, address: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """URL and headers of a request. Raises botocore's errors where there are no credentials."""
        form = self._known_form()
        url = f"{form.base_url}{address}"
        if not form.service:
            return url, dict(headers)
        request = AWSRequest(method, url, headers=dict(headers))
        S3SigV4Auth(self._credentials.get_frozen_credentials(), form.service, form.region).add_auth(request)
        return url, dict(request.headers.items())

    def move_to(self, region: str) -> bool:
        """Switches to the region that the store named. False if that was done before, or it is no region."""
        with self._lock:
            if self._has_moved or not _REGION.fullmatch(region):
                return False
            self._has_moved = True
            self._client, self._form = self._client_of(region), None
            return True

    def _known_form(self) -> _Form:
        with self._lock:
            if self._form is None:
                self._form = self._look()
            return self._form

    def _look(self) -> _Form:
        seen: list[AWSPreparedRequest] = []

        def keep(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
            seen.append(request)
            return AWSResponse(request.url, 200, {}, HTTPResponse(BytesIO()))

        events = self._client.meta.events
        events.register_first("before-send.s3.HeadObject", keep)
        try:
            self._client.head_object(Bucket=self._bucket, Key=_ANY_KEY)
        finally:
            events.unregister("before-send.s3.HeadObject", keep)
        return _form(seen[0])


def _form(request: AWSPreparedRequest) -> _Form:
    base_url = _with_host_as_signed(request.url.removesuffix(_ANY_KEY))
    authorization = request.headers.get("Authorization", b"")
    text = authorization.decode() if isinstance(authorization, bytes) else authorization
    if not text:
        return _Form(base_url)
    _, _, scope = text.partition("Credential=")
    _, _, region, service, _ = scope.partition(",")[0].rsplit("/", 4)
    return _Form(base_url, region, service)


def _with_host_as_signed(url: str) -> str:
    """The URL with the host that the signer signs: in small letters, and without the port that its scheme implies."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    return urlunsplit(parts._replace(netloc=f"{host}{port}"))
