"""The lock of an entry: one holder at a time, whatever becomes of the holder, of the others, or of the file."""

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from modelyard.fetcher.disk.lock import locked, locked_if_free, shared


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


class Waiter:
    """Takes the lock on a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.waits = threading.Event()
        self.has = threading.Event()
        self._let_go = threading.Event()
        self._thread = threading.Thread(target=self._take, args=[path])
        self._thread.start()

    def _take(self, path: Path) -> None:
        with locked(path, self.waits.set):
            self.has.set()
            self._let_go.wait()

    def end(self) -> None:
        self._let_go.set()
        self._thread.join()


@contextmanager
def waiting_for(path: Path) -> Iterator[Waiter]:
    waiter = Waiter(path)
    try:
        yield waiter
    finally:
        waiter.end()


def is_free(path: Path) -> bool:
    with locked_if_free(path) as is_free:
        return is_free


def test_the_second_waits_until_the_first_lets_go(path: Path) -> None:
    with ExitStack() as first:
        first.enter_context(locked(path, pytest.fail))
        with waiting_for(path) as second:
            assert second.waits.wait(10)
            assert not second.has.is_set()
            first.close()
            assert second.has.wait(10)
            assert not is_free(path)
    assert is_free(path)


def test_the_lock_of_a_killed_holder_is_free_within_a_second(path: Path) -> None:
    read_end, write_end = os.pipe()
    holder = os.fork()
    if not holder:
        with locked(path, lambda: None):
            os.write(write_end, b"x")
            signal.pause()
        os._exit(1)
    os.read(read_end, 1)
    with waiting_for(path) as second:
        assert second.waits.wait(10)
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        assert second.has.wait(1.0)
    os.close(read_end)
    os.close(write_end)


def test_those_who_share_do_not_wait_for_each_other_but_who_writes_waits_for_them(path: Path) -> None:
    with shared(path, pytest.fail), shared(path, pytest.fail):
        assert not is_free(path)
    assert is_free(path)


def test_who_shares_waits_for_who_writes(path: Path) -> None:
    class SeenWaitingError(Exception):
        pass

    def seen() -> None:
        raise SeenWaitingError

    with locked(path, lambda: None), pytest.raises(SeenWaitingError), shared(path, seen):
        pass


def test_a_file_that_its_holder_removed_locks_no_one_out_and_is_never_locked_twice(path: Path) -> None:
    with locked(path, pytest.fail), waiting_for(path) as second:
        assert second.waits.wait(10)
        path.unlink()
        assert second.has.wait(10)
        assert not is_free(path)
    assert is_free(path)


def test_every_user_may_lock_the_file_whatever_its_owner_and_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert is_free(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


def test_what_is_no_file_is_refused_and_never_waited_for(path: Path) -> None:
    path.symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        is_free(path)
