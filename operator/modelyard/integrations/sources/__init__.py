"""Where models come from: what each kind of source adds to a pod, one file each, and their registry."""

from modelyard.contract.errors import InvalidError
from modelyard.integrations.sources.base import Source
from modelyard.integrations.sources.hf import HuggingFaceSource
from modelyard.integrations.sources.https import HttpsSource
from modelyard.integrations.sources.pvc import ClaimSource
from modelyard.integrations.sources.s3 import S3Source

SOURCES: dict[str, Source] = {
    source.scheme: source for source in (S3Source(), HuggingFaceSource(), HttpsSource(), ClaimSource())
}
"""Scheme -> source. One file and one entry here are all that the rendering of a new source needs."""


def source_of(uri: str) -> Source:
    """The source of ``uri``. Raises InvalidError (UnknownSource), which lists the known ones."""
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme not in SOURCES:
        known = ", ".join(f"{name}://" for name in sorted(SOURCES))
        raise InvalidError("UnknownSource", f"spec.model.uri {uri!r} has no supported scheme. Use one of: {known}.")
    return SOURCES[scheme]
