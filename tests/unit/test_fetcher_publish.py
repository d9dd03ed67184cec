"""Publication, killed before each of its steps on the disk: no model or all of it, and it can be done again."""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NoReturn

import pytest

from modelyard.contract.cache_layout import CacheLayout
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.disk.staging import Staging
from modelyard.fetcher.disk.store import Store, record_of

DIGEST = f"sha256:{'ab' * 32}"
POD = "0a-1b"
FILES = [RemoteFile(PurePosixPath(f"weights/{name}"), 3, name, "v", None) for name in ("a", "b")]


def never_called(digest: str) -> NoReturn:
    raise AssertionError(f"nothing of {digest} is another user's")


def opened(layout: CacheLayout) -> Store:
    store = Store(layout, never_called)
    store.make_folders()
    return store


def staged(store: Store, content: bytes) -> Staging:
    """Every file is here and noted as verified."""
    staging = Staging(store.staging_folder(DIGEST))
    for file in FILES:
        if not staging.holds(file):
            arriving = staging.open(file)
            arriving.write(memoryview(content), 0)
            arriving.close()
            staging.accept(file, 0)
    return staging


def publish(layout: CacheLayout, content: bytes = b"new") -> None:
    """As a fetch does once all files are staged, or as one that finds the entry."""
    store = opened(layout)
    if not store.holds(DIGEST, FILES):
        staging = staged(store, content)
        record = record_of("s3://models/a", DIGEST, FILES, staging.model, staging.crc64nvme)
        store.publish(DIGEST, staging, record)
    store.link(POD, DIGEST)


def is_killed_before(step: int, work: Callable[[], None]) -> bool:
    """Does the work in a child that is killed before so many steps on the disk; False where it ends before that."""
    child = os.fork()
    if not child:
        _work_and_die(step, work)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL}
    return code != 0


def _work_and_die(step: int, work: Callable[[], None]) -> NoReturn:
    steps = itertools.count(1)

    def count(event: str, _: object) -> None:
        if event.startswith(("open", "os.", "shutil.")) and next(steps) == step:  # Python's audit events
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        sys.addaudithook(count)
        work()
        code = 0
    finally:
        os._exit(code)


@pytest.fixture(autouse=True)
def _without_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fsync guards against does not happen here, and hundreds of them take their time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def nothing(_: CacheLayout) -> None:
    """The model was never here."""


def a_corrupt_entry(layout: CacheLayout) -> None:
    publish(layout, b"old")
    (layout.entry(DIGEST) / FILES[0].path).write_bytes(b"bad")
    layout.corrupt(DIGEST).touch()


def an_entry_without_a_record(layout: CacheLayout) -> None:
    publish(layout, b"old")
    layout.record(DIGEST).unlink()


@pytest.mark.parametrize("before", [nothing, a_corrupt_entry, an_entry_without_a_record])
def test_a_publication_that_is_killed_before_any_step_left_nothing_or_the_whole_model(
    tmp_path: Path, before: Callable[[CacheLayout], None]
) -> None:
    for step in itertools.count(1):
        layout = CacheLayout(tmp_path / str(step))
        before(layout)
        is_killed = is_killed_before(step, partial(publish, layout))
        if opened(layout).holds(DIGEST, FILES):
            assert [(layout.entry(DIGEST) / file.path).read_bytes() for file in FILES] == [b"new", b"new"]
        publish(layout)
        assert opened(layout).holds(DIGEST, FILES)
        assert [(layout.link(POD) / file.path).read_bytes() for file in FILES] == [b"new", b"new"]
        if not is_killed:
            assert step > 20
            return


def test_what_was_noted_of_a_published_model_is_not_believed_of_one_that_arrives_after_its_eviction(
    tmp_path: Path,
) -> None:
    for step in itertools.count(1):
        layout = CacheLayout(tmp_path / str(step))
        is_killed = is_killed_before(step, partial(publish, layout))
        store = opened(layout)
        if layout.entry(DIGEST).exists():
            shutil.rmtree(layout.entry(DIGEST))
            for _ in range(2):  # an attempt that is killed before it has written a byte, and the next one
                staging = Staging(store.staging_folder(DIGEST))
                for file in FILES:
                    assert not staging.holds(file)
                    assert not staging.parts(file)
                    staging.open(file).close()
        if not is_killed:
            assert step > 20
            return
