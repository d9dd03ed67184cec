"""What boto3's errors mean to the person who has to act. Pure: an exception in, a FetchError out."""

from dataclasses import dataclass

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from modelyard.fetcher.failure import FetchError, Reason
from modelyard.fetcher.transport.connection_errors import Server, explain_connection, explain_proxy


@dataclass(frozen=True)
class Asked:
    """What was asked, where, by whom and through which proxy: the words that messages are made of."""

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


_REASONS = {
    "AccessDenied": Reason.ACCESS_DENIED,
    "AllAccessDisabled": Reason.ACCESS_DENIED,
    "403": Reason.ACCESS_DENIED,
    "NoSuchBucket": Reason.BUCKET_NOT_FOUND,
    "NoSuchKey": Reason.SOURCE_CHANGED,
    "NoSuchVersion": Reason.SOURCE_CHANGED,
    "404": Reason.SOURCE_CHANGED,
    "PreconditionFailed": Reason.SOURCE_CHANGED,
    "412": Reason.SOURCE_CHANGED,
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
    "407": Reason.PROXY_FAILED,
    "429": Reason.THROTTLED,
    "503": Reason.THROTTLED,
    "PermanentRedirect": Reason.WRONG_REGION,
    "AuthorizationHeaderMalformed": Reason.WRONG_REGION,
}
"""S3's error codes; a number is the HTTP status of an answer without a body."""

_PERMISSIONS = {"ListObjectsV2": "s3:ListBucket on the bucket", "GetObject": "s3:GetObject on its objects"}


def explain(error: ClientError | BotoCoreError | ResponseParserError, asked: Asked, key: str | None) -> FetchError:
    """The error by name, with its remedy. ``key`` is the object that was asked for, if it was one."""
    if isinstance(error, ClientError):
        return _explain_answer(error, asked, key)
    if isinstance(error, (boto.SSLError, boto.HTTPClientError, boto.ConnectionError)):
        return explain_connection(f"{error} {error.kwargs.get('error', '')}", asked.server)
    if isinstance(error, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)):
        return FetchError(
            Reason.CREDENTIALS_INVALID,
            f"the pod's cloud identity gave no credentials ({error}): check what spec.serviceAccountName's account is "
            "bound to, or name a Secret in spec.model.credentials",
        )
    if isinstance(error, ResponseParserError):
        return FetchError(
            Reason.SOURCE_ERROR,
            f"{asked.store} gives answers that are not S3's: correct spec.model.s3.endpoint. ({error})",
        )
    return FetchError(Reason.SOURCE_ERROR, f"{asked.store}: {error}")


def _explain_answer(error: ClientError, asked: Asked, key: str | None) -> FetchError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    said = error.response.get("Error", {}).get("Message") or "no message"
    what = f"s3://{asked.bucket}/{key or asked.location}"
    reason = _REASONS.get(code, Reason.SOURCE_ERROR)
    if reason is Reason.SOURCE_CHANGED and key is None:
        reason = Reason.SOURCE_ERROR  # a listing names no object: "not found" says that this is no S3 server's path
    if reason is Reason.PROXY_FAILED:
        return explain_proxy(int(code), asked.server)
    messages = {
        Reason.ACCESS_DENIED: f"{asked.store} denies {what} to {asked.identity}: grant "
        f"{_PERMISSIONS.get(error.operation_name, error.operation_name)}, or name other credentials in "
        "spec.model.credentials. (A bucket that does not exist can look like this too)",
        Reason.BUCKET_NOT_FOUND: f"{asked.store} has no bucket {asked.bucket!r}: correct spec.model.uri, or "
        "spec.model.s3.endpoint if the bucket is on another server",
        Reason.SOURCE_CHANGED: f"{what} was replaced or removed while it was fetched: the fetch begins anew. Upload a "
        "model under a new prefix rather than over one in use",
        Reason.CREDENTIALS_INVALID: f"{asked.store} does not accept {asked.identity} ({code}: {said}): {_cure(code)}",
        Reason.CLOCK_SKEW: f"{asked.store} refuses requests because this node's clock and its own differ too much "
        f"({said}): set the node's time (NTP)",
        Reason.THROTTLED: f"{asked.store} asks for fewer requests ({code}: {said}): the fetch goes on by itself; if "
        "it stays so, raise the server's limits or spread the models over more prefixes",
        Reason.WRONG_REGION: f"bucket {asked.bucket!r} is in another region ({said}): set spec.model.s3.region",
        Reason.SOURCE_ERROR: f"{asked.store} answered {error.operation_name} of {what} with "
        f"{code or 'an unknown error'}: {said}. If that is no S3 server's answer, correct spec.model.s3.endpoint",
    }
    return FetchError(reason, messages[reason])


def _cure(code: str) -> str:
    match code:
        case "InvalidAccessKeyId":
            return "it does not know AWS_ACCESS_KEY_ID. Put a valid key into the Secret"
        case "SignatureDoesNotMatch":
            return "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID. Put the right pair into the Secret"
        case _:
            return "the session token is not valid any more. Put a fresh one into the Secret"
