"""Which source serves which URI scheme. Each is imported when it is needed: boto3 alone takes a second."""

import importlib
from collections.abc import Callable

from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.sources.source import MountedModel, Source

SOURCES = {
    "s3": "modelyard.fetcher.sources.s3.bucket",
    "hf": "modelyard.fetcher.sources.hf",
    "https": "modelyard.fetcher.sources.https",
    "pvc": "modelyard.fetcher.sources.pvc",
}
"""Scheme -> module with a function ``open_source(configuration)`` that returns a Source or a MountedModel."""


def open_source(configuration: Configuration) -> Source | MountedModel:
    """The source of the configured URI. Raises InvalidError for a scheme without a source."""
    scheme, _, _ = configuration.uri.partition("://")
    if scheme not in SOURCES:
        known = ", ".join(f"{name}://" for name in SOURCES)
        raise InvalidError(
            Reason.UNKNOWN_SCHEME,
            f"spec.model.uri is {configuration.uri!r}; this version of modelyard-fetch supports {known}",
        )
    opener: Callable[[Configuration], Source | MountedModel] = importlib.import_module(SOURCES[scheme]).open_source
    return opener(configuration)
