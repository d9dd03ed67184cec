"""One service serves one content: what this pod may fetch, and what it must refuse.

The operator keeps the first verified digest of a service's revision in a ConfigMap that pods read when they start. It
is not part of the pod template, so recording a digest restarts no pod.
"""

from modelyard.contract import names
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.failure import FetchError

_TEXT_LIMIT = 100


def check_content(digest: str, configuration: Configuration) -> None:
    """Raises FetchError if the source's content differs from the service's digest, or from its revision's first."""
    pinned = configuration.expected_digest
    if pinned not in {None, digest}:
        raise FetchError(
            Reason.DIGEST_MISMATCH,
            f"{configuration.uri} has {digest}, but spec.model.digest is {pinned}: restore that content, or correct "
            "spec.model.digest",
        )
    first = _first_digest(configuration)
    if first not in {None, digest}:
        raise FetchError(
            Reason.SOURCE_CHANGED,
            f"{configuration.uri} has {digest}, but this revision is pinned to {first}: restore that content, or set "
            "a new spec.model.revision to roll out the new content. Ready pods keep serving",
        )


def _first_digest(configuration: Configuration) -> str | None:
    """The digest that this revision's first pod verified; None before that, or if the service records none."""
    if configuration.revision_key is None:
        return None
    try:
        text = (configuration.revision_folder / configuration.revision_key).read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FetchError(
            Reason.INTERNAL_ERROR,
            f"the digest of this revision at {names.PATH_REVISION} cannot be read ({error}): check the pod's volume "
            f"{names.VOLUME_REVISION!r}",
        ) from error
    return text.strip()[:_TEXT_LIMIT]
