"""Explains S3's errors to the user who must act. Pure: an answer in, a FetchError out."""

from dataclasses import dataclass

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.sources.s3.answers import Failure
from modelyard.fetcher.transport.connection_errors import Server, explain_connection, explain_proxy


@dataclass(frozen=True)
class BucketContext:
    """What is fetched, from where, as whom and through which proxy: what the messages name."""

    bucket: str
    location: str
    endpoint: str | None
    identity: str
    proxy: str | None = None

    @property
    def store(self) -> str:
        return self.endpoint or "Amazon S3"

    @property
    def server(self) -> Server:
        return Server(self.store, "spec.model.s3.endpoint", self.proxy)

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


_BY_CODE = {
    "AccessDenied": Reason.ACCESS_DENIED,
    "AllAccessDisabled": Reason.ACCESS_DENIED,
    "NoSuchBucket": Reason.BUCKET_NOT_FOUND,
    "NoSuchKey": Reason.SOURCE_CHANGED,
    "NoSuchVersion": Reason.SOURCE_CHANGED,
    "PreconditionFailed": Reason.SOURCE_CHANGED,
    "InvalidRange": Reason.SOURCE_CHANGED,
    "InvalidAccessKeyId": Reason.CREDENTIALS_INVALID,
    "SignatureDoesNotMatch": Reason.CREDENTIALS_INVALID,
    "ExpiredToken": Reason.CREDENTIALS_INVALID,
    "InvalidToken": Reason.CREDENTIALS_INVALID,
    "InvalidIdentityToken": Reason.CREDENTIALS_INVALID,
    "RequestTimeTooSkewed": Reason.CLOCK_SKEW,
    "RequestExpired": Reason.CLOCK_SKEW,
    "SlowDown": Reason.THROTTLED,
    "ServiceUnavailable": Reason.THROTTLED,
    "Throttling": Reason.THROTTLED,
    "ThrottlingException": Reason.THROTTLED,
    "TooManyRequests": Reason.THROTTLED,
    "RequestLimitExceeded": Reason.THROTTLED,
    "PermanentRedirect": Reason.WRONG_REGION,
    "AuthorizationHeaderMalformed": Reason.WRONG_REGION,
    "IllegalLocationConstraintException": Reason.WRONG_REGION,
    "InvalidObjectState": Reason.MODEL_ARCHIVED,
}
"""Amazon S3 API Reference, "Error Responses"."""

_BY_STATUS = {
    401: Reason.CREDENTIALS_INVALID,
    403: Reason.ACCESS_DENIED,
    404: Reason.SOURCE_CHANGED,
    407: Reason.PROXY_FAILED,
    412: Reason.SOURCE_CHANGED,
    416: Reason.SOURCE_CHANGED,
    429: Reason.THROTTLED,
    503: Reason.THROTTLED,
}
"""The reason for a status if the answer has no code, or one of the store's own."""


def explain(failure: Failure, context: BucketContext, key: str) -> FetchError:
    """The error by name, with its remedy. ``key`` is the requested object; empty for the bucket's listing."""
    reason = _reason(failure, key)
    what = context.uri(key or context.location)
    if reason is Reason.PROXY_FAILED:
        return explain_proxy(failure.status, context.server)
    words = f"{failure.code or failure.status}: {failure.message or 'no message'}"
    match reason:
        case Reason.ACCESS_DENIED:
            permission = "s3:GetObject on its objects" if key else "s3:ListBucket on the bucket"
            message = (
                f"{context.store} denied access to {what} for {context.identity}: grant {permission}, or set other "
                "credentials in spec.model.credentials. (Some stores also report this if the bucket does not exist)"
            )
        case Reason.BUCKET_NOT_FOUND:
            message = (
                f"{context.store} has no bucket {context.bucket!r}: correct spec.model.uri, or spec.model.s3.endpoint "
                "if the bucket is on another server"
            )
        case Reason.SOURCE_CHANGED:
            message = (
                f"{what} was replaced or removed during the fetch: the fetch restarts. Upload a model to a new prefix "
                "rather than over one in use"
            )
        case Reason.MODEL_ARCHIVED:
            message = f"{what} is archived ({words}): {RESTORE}"
        case Reason.CREDENTIALS_INVALID:
            message = f"{context.store} rejected {context.identity} ({words}): {_cure(failure.code)}"
        case Reason.CLOCK_SKEW:
            message = (
                f"{context.store} rejected the request because this node's clock differs too much from its own "
                f"({words}): synchronize the node's clock (NTP)"
            )
        case Reason.THROTTLED:
            message = (
                f"{context.store} limits the rate of requests ({words}): the fetch continues. If this persists, raise "
                "the store's limits, or spread the models over more prefixes"
            )
        case Reason.WRONG_REGION:
            where = f"in region {failure.region[:63]!r}" if failure.region else f"in another region ({words})"
            message = f"bucket {context.bucket!r} is {where}: set spec.model.s3.region"
        case _:
            message = _other(failure, context, what, words)
    return FetchError(reason, message)


def _reason(failure: Failure, key: str) -> Reason:
    reason = _BY_CODE.get(failure.code)
    if failure.status >= 500 and reason is not Reason.THROTTLED:
        reason = _BY_STATUS.get(failure.status, Reason.SOURCE_ERROR)
    elif reason is None and 300 <= failure.status < 400 and failure.region:
        reason = Reason.WRONG_REGION
    reason = reason or _BY_STATUS.get(failure.status, Reason.SOURCE_ERROR)
    if reason is Reason.SOURCE_CHANGED and not key:
        return Reason.SOURCE_ERROR  # a listing names no object: "not found" means that this is no S3 server's path
    return reason


def _other(failure: Failure, context: BucketContext, what: str, words: str) -> str:
    if failure.status >= 500:
        return (
            f"{context.store} failed for {what} with an error of its own ({failure.status}, {words}): check the "
            "store's log and health. The fetch is retried"
        )
    if 300 <= failure.status < 400:
        return (
            f"{context.store} redirects {what} ({failure.status}, {words}) without naming a region: set "
            "spec.model.s3.endpoint to the address that it redirects to"
        )
    return (
        f"{context.store} returned {failure.status} for {what} ({words}). If this is not an S3 server, correct "
        "spec.model.s3.endpoint"
    )


RESTORE = (
    "restore it (aws s3api restore-object), or copy it to a storage class that can be read at once. The fetch then "
    "continues"
)


def _cure(code: str) -> str:
    match code:
        case "InvalidAccessKeyId":
            return "AWS_ACCESS_KEY_ID is unknown. Put a valid key in the Secret"
        case "SignatureDoesNotMatch":
            return "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID. Put the right pair in the Secret"
        case "ExpiredToken" | "InvalidToken" | "InvalidIdentityToken":
            return "the session token is no longer valid. Put a new one in the Secret"
        case _:
            return "put valid credentials in the Secret that spec.model.credentials names"


def explain_identity(error: ClientError | BotoCoreError, context: BucketContext) -> FetchError:
    """The error if boto3 finds no credentials, or cannot reach the service that issues them."""
    if isinstance(error, (boto.SSLError, boto.HTTPClientError, boto.ConnectionError)):
        return explain_connection(f"{error} {error.kwargs.get('error', '')}", context.server)
    return FetchError(
        Reason.CREDENTIALS_INVALID,
        f"the pod's cloud identity has no credentials ({error}): check the identity that the service account in "
        "spec.serviceAccountName is bound to, or name a Secret in spec.model.credentials",
    )
