"""A bucket's documents and objects, over connections of our own: each answer is of the version that was listed."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.sources.ranged_client import PASSING, Dialect, RangedClient, Refusal, RefusedError
from modelyard.fetcher.sources.s3.answers import bare_etag, is_error, is_same_etag, read_failure
from modelyard.fetcher.sources.s3.errors import BucketContext, explain, explain_identity
from modelyard.fetcher.sources.s3.requests import BucketRequests, address_of, key_of
from modelyard.fetcher.transport.connection import Trust
from modelyard.fetcher.transport.connection_pool import Answer
from modelyard.fetcher.transport.slowness import StallClock

_TRIES = 3
_PAUSE_S = 0.2
_WORTH_ANOTHER_TRY = {429, 503, *PASSING}
_DOCUMENT_LIMIT_BYTES = 8 * 1024 * 1024
"""A page of 1,000 keys of 1,024 bytes, each byte written as three characters, has less than half of that."""

Result = TypeVar("Result")


class Objects:
    """Thread-safe. Every method raises FetchError by name for what the store refuses."""

    def __init__(self, requests: BucketRequests, trust: Trust, context: BucketContext) -> None:
        self._requests = requests
        self._context = context
        self._client = RangedClient(Dialect(context.server, self._sign, self._explain, follows_redirects=False), trust)
        self._region = ""
        """That the store has named in a refusal."""
        self._is_head_refused = False

    def document(self, address: str, headers: Mapping[str, str] | None = None) -> bytes:
        """A small document, whole: a page of the listing, or the attributes of an object."""
        try:
            document = self._patiently(
                lambda clock: self._client.document(address, _DOCUMENT_LIMIT_BYTES, headers or {}, clock)
            )
        except FetchError as error:
            if error.reason is not Reason.WRONG_REGION or not self._requests.move_to(self._region):
                raise
            return self.document(address, headers)
        if is_error(document):
            raise explain(read_failure(200, {}, document), self._context, key_of(address))
        return document

    def head(self, key: str, etag: str, **query: str) -> Mapping[str, str]:
        """The headers of an object, its checksums among them, or of what ``query`` names of it."""
        wanted = {"If-Match": f'"{etag}"', "x-amz-checksum-mode": "ENABLED"}
        headers = self._patiently(lambda clock: self._head(address_of(key, **query), wanted, clock))
        self._check_version(headers, key, etag, is_needed=True)
        return headers

    def _head(self, address: str, wanted: Mapping[str, str], clock: StallClock) -> Mapping[str, str]:
        status = 0
        if not self._is_head_refused:
            head = self._client.head(address, wanted, clock)
            if head.status in {200, 206}:
                return head.headers
            status = head.status
        # An answer to HEAD has no body and so no error code: a GET returns the code, or the headers themselves.
        with self._client.get(address, wanted, clock) as answer:
            self._is_head_refused = status not in _WORTH_ANOTHER_TRY
            return answer.head.headers

    def open_range(self, file: RemoteFile, offset: int, length: int, clock: StallClock) -> Answer:
        """The object's bytes, as source.Source.open_range gives them."""
        condition = {"If-Match": f'"{file.version}"'}
        address = address_of(file.key)
        answer = self._client.open_range(address, file, offset, length, clock=clock, headers=condition)
        try:
            self._check_version(answer.head.headers, file.key, file.version, is_needed=file.checksum is None)
        except BaseException:
            answer.close()
            raise
        return answer

    def read_one_byte(self, file: RemoteFile) -> None:
        """Checks read access to the object. Raises FetchError if it is denied."""
        if file.size_bytes:
            self._client.read_one_byte(address_of(file.key), {"If-Match": f'"{file.version}"'})
        else:
            self.head(file.key, file.version)

    def _check_version(self, headers: Mapping[str, str], key: str, etag: str, *, is_needed: bool) -> None:
        """A store may ignore If-Match. What has a checksum is checked by that, should the answer name no version."""
        answered = bare_etag(headers.get("etag", ""))
        if not answered and is_needed:
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"{self._context.store} sends no ETag with {self._context.uri(key)}, so nothing shows that its bytes "
                "belong to one version. If this is not an S3 server, correct spec.model.s3.endpoint",
            )
        if answered and not is_same_etag(answered, etag):
            raise FetchError(
                Reason.SOURCE_CHANGED,
                f"{self._context.uri(key)} changed during the fetch (its ETag was {etag[:80]!r} and is now "
                f"{answered[:80]!r}): the fetch restarts. Upload a model to a new prefix rather than over one in use",
            )

    def _patiently(self, ask: Callable[[StallClock], Result]) -> Result:
        clock = StallClock()
        for tries_left in reversed(range(_TRIES)):
            try:
                return ask(clock)
            except FetchError as error:
                if not tries_left or clock.is_over or not _is_passing(error):
                    raise
            time.sleep(_PAUSE_S)
        raise AssertionError("the last try returns or raises")

    def _sign(self, method: str, address: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        try:
            return self._requests.signed(method, address, headers)
        except (ClientError, BotoCoreError) as error:
            raise explain_identity(error, self._context) from error

    def _explain(self, refusal: Refusal) -> FetchError:
        failure = read_failure(refusal.status, refusal.headers, refusal.body)
        self._region = failure.region
        return explain(failure, self._context, key_of(refusal.requested))


def _is_passing(error: FetchError) -> bool:
    if isinstance(error, RefusedError):
        return error.status in _WORTH_ANOTHER_TRY
    return error.reason is Reason.ENDPOINT_UNREACHABLE
