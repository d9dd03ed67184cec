"""One attempt to fetch the configured model into the cache, from the listing to the pod's link.

One service serves one content. The operator keeps the first verified digest of a service's revision in a ConfigMap that
pods read when they start. It is not part of the pod template, so recording a digest restarts no pod.
"""

import contextlib
import errno
from collections.abc import Callable, Iterator
from typing import NoReturn

from modelyard.contract import names
from modelyard.contract.cache_layout import CacheLayout
from modelyard.contract.fetch_report import Phase, Reason
from modelyard.fetcher.agent_client import Agent
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.content.remote_file import content_digest
from modelyard.fetcher.disk import lock
from modelyard.fetcher.disk.staging import Staging
from modelyard.fetcher.disk.store import Store, record_of
from modelyard.fetcher.download.completeness import Files, held_to_own_word
from modelyard.fetcher.download.download import budget_bytes, download
from modelyard.fetcher.download.verification import WrongBytes, WrongBytesError
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.report import progress
from modelyard.fetcher.report.state import State
from modelyard.fetcher.sources.source import MountedModel, Source, open_source

_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT}
Check = Callable[[], None]
_DIGEST_LIMIT_CHARACTERS = 100


def fetch(configuration: Configuration, state: State, wrong_bytes: WrongBytes) -> None:
    """Leaves the cache with the whole model and the pod's link to it, or finds it mounted and readable, or raises.

    FetchError if the fault can be cured while the pod lives, InvalidError if only another pod template cures it.
    A model that is here already, or that another pod of the node fetches meanwhile, costs the listing and one byte of
    each file. ``wrong_bytes`` is kept from attempt to attempt.
    """
    state.enter(Phase.LISTING)
    source = open_source(configuration)
    if isinstance(source, MountedModel):
        state.found_mounted(source.size_bytes)
    else:
        attempt = _Fetch(configuration, state, source, wrong_bytes)
        with _file_system_errors_named(configuration):
            attempt.bring()
    state.enter(Phase.DONE)


class _Fetch:
    """One attempt, once its source is known."""

    def __init__(self, configuration: Configuration, state: State, source: Source, wrong_bytes: WrongBytes) -> None:
        self._configuration = configuration
        self._state = state
        self._source = source
        self._wrong_bytes = wrong_bytes
        self._files = source.files()
        self._size_bytes = sum(file.size_bytes for file in self._files)
        self._digest = content_digest(self._files)
        layout = CacheLayout(configuration.cache)
        self._is_kept_by_agent = configuration.cache_medium == names.MEDIUM_NODE_LOCAL
        self._agent = Agent(layout.agent_socket)
        self._store = Store(layout, self._agent.discard if self._is_kept_by_agent else _nobody_discards)

    def bring(self) -> None:
        """Raises OSError as the cache's file system does, and FetchError."""
        unverified = sum(file.checksum is None for file in self._files)
        self._state.found(self._digest, self._size_bytes, unverified_files=unverified)
        _check_content(self._digest, self._configuration)
        self._store.make_folders()
        while not self._use():
            with lock.locked(self._store.lock(self._digest), self._wait):
                if not self._is_here() and self._fetch():
                    return

    def _is_here(self) -> bool:
        return self._store.holds(self._digest, self._files)

    def _use(self) -> bool:
        """Uses the cached model, if there is one and this pod may read it at the source."""
        if not self._is_here():
            return False
        self._source.check_access(self._files)
        with lock.shared(self._store.lock(self._digest), self._wait):
            self._state.hit()
            is_taken = self._link()
        self._store.tidy_up(self._digest)
        return is_taken

    def _wait(self) -> None:
        latest = progress.latest(self._store.staging_folders(self._digest))
        self._state.wait(
            latest.pod if latest else None, latest.bytes_done if latest else 0, latest.bytes_per_second if latest else 0
        )

    def _fetch(self) -> bool:
        """Fetches the model, and links it."""
        folder = self._store.staging_folder(self._digest)
        if not self._is_kept_by_agent:
            self._store.collect_leftovers(self._digest)
        staging = Staging(folder)
        files = held_to_own_word(self._source, self._files)
        self._wrong_bytes.check(files, self._source.stamp)
        self._state.begin(staging.held_bytes(files))
        with (
            self._space(staging.allocated_bytes(files)) as check,
            progress.published(folder, self._configuration.pod_uid, self._state),
        ):
            self._download(files, staging, check)
            self._state.enter(Phase.PUBLISHING)
            self._source.check_unchanged()
            record = record_of(self._configuration.uri, self._digest, files, staging.model, staging.crc64nvme)
            self._store.publish(self._digest, staging, record)
            is_taken = self._link()
        if not self._is_kept_by_agent:
            self._store.collect_leftovers(self._digest)
        return is_taken

    def _download(self, files: Files, staging: Staging, check: Check) -> None:
        def on_bytes(count: int) -> None:
            check()
            self._state.add_bytes(count)

        try:
            download(self._source, files, staging, on_bytes, budget_bytes())
        except WrongBytesError as error:
            with contextlib.suppress(FetchError):  # if the source fails now, the next attempt queries it again
                self._wrong_bytes.remember(error, self._source.stamp(error.file))
            raise

    def _link(self) -> bool:
        """Links the model for this pod. False if it was evicted just before; once linked, it is not."""
        _check_content(self._digest, self._configuration)  # the first digest may have been recorded meanwhile
        if self._configuration.compile_key:
            self._store.make_compile_cache(self._configuration.compile_key)
        self._store.link(self._configuration.pod_uid, self._digest)
        return self._is_here()

    @contextlib.contextmanager
    def _space(self, allocated_bytes: int) -> Iterator[Check]:
        """Reserves space for what the model lacks; the yielded check raises FetchError once the space is lost."""
        if self._is_kept_by_agent:
            with self._agent.space(self._digest, self._size_bytes) as grant:
                yield grant.check
        else:
            _check_space(self._size_bytes - allocated_bytes, self._store.free_bytes(), self._configuration)
            yield lambda: None


def _nobody_discards(digest: str) -> NoReturn:
    raise FetchError(
        Reason.CACHE_NOT_WRITABLE,
        f"the cache has a corrupt {digest} of another user: delete the pod, so that it gets a new volume",
    )


def _check_space(needed_bytes: int, free_bytes: int, configuration: Configuration) -> None:
    if needed_bytes > free_bytes:
        raise FetchError(
            Reason.DISK_FULL,
            f"the model needs {needed_bytes} more bytes, but the volume at {configuration.cache} has {free_bytes} "
            "bytes free: free space on the node's disk, or use nodes with a larger one",
        )


@contextlib.contextmanager
def _file_system_errors_named(configuration: Configuration) -> Iterator[None]:
    """Names what the cache's file system refuses. The network's errors have been named before they come here."""
    try:
        yield
    except OSError as error:
        if error.errno in _OUT_OF_SPACE:
            raise FetchError(
                Reason.DISK_FULL,
                f"the volume at {configuration.cache} filled up during the fetch ({error.strerror}): free space on the "
                "node's disk, or use nodes with a larger one. Data that has arrived is kept",
            ) from error
        raise FetchError(
            Reason.CACHE_NOT_WRITABLE,
            f"the cache volume at {configuration.cache} cannot be used ({error}): check the volume, and the pod's "
            "runAsUser and fsGroup",
        ) from error


def _check_content(digest: str, configuration: Configuration) -> None:
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
    return text.strip()[:_DIGEST_LIMIT_CHARACTERS]
