"""Everything that can go wrong with a fetch, by name.

A FetchError is what a person can cure while the pod lives (grant access, create the Secret, free the disk): the fetcher
tells it and tries again. What only another pod template cures is an errors.InvalidError: the fetcher tells it and ends.
"""

from enum import StrEnum


class Reason(StrEnum):
    """CamelCase words that land in the fetcher's state and from there in a condition."""

    ACCESS_DENIED = "AccessDenied"
    BUCKET_NOT_FOUND = "BucketNotFound"
    BUDGET_TOO_SMALL = "BudgetTooSmall"
    CA_BUNDLE_INVALID = "CABundleInvalid"
    CA_BUNDLE_MISSING = "CABundleMissing"
    CACHE_AGENT_SILENT = "CacheAgentSilent"
    CACHE_FULL = "CacheFull"
    CACHE_NOT_WRITABLE = "CacheNotWritable"
    CERTIFICATE_NOT_TRUSTED = "CertificateNotTrusted"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    CLOCK_SKEW = "ClockSkew"
    CREDENTIALS_INVALID = "CredentialsInvalid"
    CREDENTIALS_MISSING = "CredentialsMissing"
    DIGEST_MISMATCH = "DigestMismatch"
    DISK_FULL = "DiskFull"
    ENDPOINT_UNREACHABLE = "EndpointUnreachable"
    INTERNAL_ERROR = "InternalError"
    INVALID_CONFIGURATION = "InvalidConfiguration"
    MODEL_ARCHIVED = "ModelArchived"
    MODEL_INCOMPLETE = "ModelIncomplete"
    MODEL_NOT_FOUND = "ModelNotFound"
    OVER_BUDGET = "OverBudget"
    PROXY_FAILED = "ProxyFailed"
    SOURCE_CHANGED = "SourceChanged"
    SOURCE_ERROR = "SourceError"
    THROTTLED = "Throttled"
    TOO_MANY_FILES = "TooManyFiles"
    UNKNOWN_SCHEME = "UnknownScheme"
    UNSAFE_KEY = "UnsafeKey"
    WRONG_REGION = "WrongRegion"


class FetchError(Exception):
    """A failed attempt: ``reason`` names it, ``message`` says what is wrong and what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class StreamBrokenError(Exception):
    """The bytes stopped coming before the file's end: ask again from where they stopped.

    ``refusal`` is the server's own answer where there is one: what to raise when asking again does not help.
    """

    def __init__(self, cause: str, refusal: FetchError | None = None) -> None:
        super().__init__(cause)
        self.refusal = refusal


class WholeFileOnlyError(Exception):
    """The server knows no ranges: the file comes over one connection at a time, from its first byte on."""
