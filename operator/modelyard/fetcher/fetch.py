"""One attempt to bring the configured model into the cache, from the listing to the pod's link."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from modelyard import names
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.download import download
from modelyard.fetcher.failure import FetchError, Reason
from modelyard.fetcher.manifest import content_digest
from modelyard.fetcher.registry import open_source
from modelyard.fetcher.source import MountedModel, Source
from modelyard.fetcher.state import Phase, State
from modelyard.fetcher.store import Store
from modelyard.layout import CacheLayout

_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT}


def fetch(configuration: Configuration, state: State) -> None:
    """Leaves the cache with the whole model and the pod's link to it, or finds it mounted and readable, or raises.

    FetchError for what a person can cure while the pod lives, InvalidError for what only another pod template cures.
    A model that is here already costs the listing and no bytes.
    """
    state.enter(Phase.LISTING)
    source = open_source(configuration)
    if isinstance(source, MountedModel):
        state.found_mounted(source.size_bytes)
    else:
        _bring(source, configuration, state)
    state.enter(Phase.DONE)


def _bring(source: Source, configuration: Configuration, state: State) -> None:
    files = source.files()
    digest = content_digest(files)
    _check_expected(digest, configuration)
    total_bytes = sum(file.size_bytes for file in files)
    with _file_system_errors_named(configuration):
        store = Store(CacheLayout(configuration.cache))
        cache_hit = store.holds(digest, files)
        unverified = sum(file.checksum is None for file in files)
        state.found(digest, total_bytes, cache_hit=cache_hit, unverified_files=unverified)
        if not cache_hit:
            staging = store.stage(digest)
            staged_bytes = staging.held_bytes(files)
            state.add_bytes(staged_bytes)
            _check_space(total_bytes - staged_bytes, store.free_bytes(), configuration)
            state.enter(Phase.DOWNLOADING)
            download(source, files, staging, state.add_bytes)
            state.enter(Phase.PUBLISHING)
            source.check_unchanged()
            store.publish(digest, staging)
        store.link(configuration.pod_uid, digest)


def _check_expected(digest: str, configuration: Configuration) -> None:
    expected = configuration.expected_digest
    if expected not in {None, digest}:
        raise FetchError(
            Reason.DIGEST_MISMATCH,
            f"{configuration.uri} holds {digest}, and {names.ENV_MODEL_DIGEST} wants {expected}: put that content back",
        )


def _check_space(needed_bytes: int, free_bytes: int, configuration: Configuration) -> None:
    if needed_bytes > free_bytes:
        raise FetchError(
            Reason.DISK_FULL,
            f"the model needs {needed_bytes} bytes more and the volume at {configuration.cache} has {free_bytes} bytes "
            "free: free space on the node's disk, or give the service nodes with a larger one",
        )


@contextmanager
def _file_system_errors_named(configuration: Configuration) -> Iterator[None]:
    """Names what the cache's file system refuses. The network's errors have been named before they come here."""
    try:
        yield
    except OSError as error:
        if error.errno in _OUT_OF_SPACE:
            free_bytes = Store(CacheLayout(configuration.cache)).free_bytes()
            raise FetchError(
                Reason.DISK_FULL,
                f"the volume at {configuration.cache} became full while the model arrived ({error.strerror}; "
                f"{free_bytes} bytes are free now): free space on the node's disk, or give the service nodes with a "
                "larger one",
            ) from error
        raise FetchError(
            Reason.CACHE_NOT_WRITABLE,
            f"the cache volume at {configuration.cache} cannot be used ({error}): check the volume, and the pod's "
            "runAsUser and fsGroup",
        ) from error
