"""The objects of a bucket: heads and bytes, over connections of our own. Refusals are read as boto3 reads them."""

import time
from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import RestXMLParser

from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.failure import FetchError, Reason
from modelyard.fetcher.sources.ranged_client import PASSING, Dialect, RangedClient, Refusal, RefusedError
from modelyard.fetcher.sources.s3.errors import Asked, explain
from modelyard.fetcher.sources.s3.requests import ObjectRequests
from modelyard.fetcher.transport.connection import Trust
from modelyard.fetcher.transport.connection_pool import Answer

_TRIES = 3
_PAUSE_S = 0.2
_WORTH_ANOTHER_TRY = {429, 503, *PASSING}


class Objects:
    """Thread-safe. Every method raises FetchError by name for what the store refuses."""

    def __init__(self, requests: ObjectRequests, trust: Trust, asked: Asked) -> None:
        self._client = RangedClient(_dialect(requests, asked), trust)

    def head(self, key: str, version: str) -> Mapping[str, str]:
        """The object's headers, its checksums among them. ``version`` is the ETag that it must have."""
        condition = {"If-Match": version}
        for tries_left in reversed(range(_TRIES)):
            try:
                headers = self._client.head(key, {**condition, "x-amz-checksum-mode": "ENABLED"})
                if headers is not None:
                    return headers
                self._client.read_one_byte(key, condition)  # an answer to HEAD has no body and so no error code
            except FetchError as error:
                if not tries_left or not _is_passing(error):
                    raise
            time.sleep(_PAUSE_S)
        raise FetchError(
            Reason.SOURCE_CHANGED,
            f"{key} changed while it was fetched: the fetch begins anew. Upload a model under a new prefix rather than "
            "over one in use",
        )

    def open_range(self, file: RemoteFile, offset: int, length: int) -> Answer:
        """The object's bytes, as source.Source.open_range gives them."""
        return self._client.open_range(file.key, file, offset, length, {"If-Match": file.version})

    def read_one_byte(self, file: RemoteFile) -> None:
        """Asks whether the object may be read. Raises FetchError where it may not."""
        if file.size_bytes:
            self._client.read_one_byte(file.key, {"If-Match": file.version})
        else:
            self.head(file.key, file.version)


def _is_passing(error: FetchError) -> bool:
    if isinstance(error, RefusedError):
        return error.status in _WORTH_ANOTHER_TRY
    return error.reason is Reason.ENDPOINT_UNREACHABLE


def _dialect(requests: ObjectRequests, asked: Asked) -> Dialect:
    def sign(method: str, key: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        try:
            return requests.signed(method, key, headers)
        except (ClientError, BotoCoreError) as error:
            raise explain(error, asked, key) from error

    def explain_refusal(refusal: Refusal) -> FetchError:
        response = {"status_code": refusal.status, "headers": dict(refusal.headers), "body": refusal.body}
        parsed = RestXMLParser().parse(response, None)
        return explain(ClientError(parsed, "GetObject"), asked, refusal.asked)

    return Dialect(asked.server, sign, explain_refusal, follows_redirects=False)
