"""Requests for objects of one bucket, as boto3 would send them, without what it takes boto3 to send one.

boto3 decides how a bucket is addressed, in which region it is and who asks. One request of its own is looked at, and
never sent; the requests for all objects are then made after it and signed by botocore's signer (SigV4), each with the
credentials of that moment.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.utils import percent_encode
from urllib3 import HTTPResponse

_ANY_KEY = "k"
_SAFE_IN_KEYS = "-._~/"


@dataclass(frozen=True)
class _Form:
    """How a bucket's objects are asked for; without ``region`` and ``service`` nothing is signed."""

    base_url: str
    region: str = ""
    service: str = ""


class ObjectRequests:
    """Makes signed requests. Thread-safe."""

    def __init__(self, client: Any, credentials: Any, bucket: str) -> None:
        """``credentials`` is what botocore refreshes by itself, or None where requests are anonymous."""
        self._client = client
        self._credentials = credentials
        self._bucket = bucket
        self._lock = threading.Lock()
        self._form: _Form | None = None

    def signed(self, method: str, key: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """URL and headers of a request for an object. Raises botocore's errors where there are no credentials."""
        form = self._known_form()
        url = f"{form.base_url}{percent_encode(key, safe=_SAFE_IN_KEYS)}"
        if not form.service:
            return url, dict(headers)
        request = AWSRequest(method, url, headers=dict(headers))
        S3SigV4Auth(self._credentials.get_frozen_credentials(), form.service, form.region).add_auth(request)
        return url, dict(request.headers.items())

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
    base_url = request.url.removesuffix(_ANY_KEY)
    authorization = request.headers.get("Authorization", b"")
    text = authorization.decode() if isinstance(authorization, bytes) else authorization
    if not text:
        return _Form(base_url)
    _, _, scope = text.partition("Credential=")
    _, _, region, service, _ = scope.partition(",")[0].rsplit("/", 4)
    return _Form(base_url, region, service)
