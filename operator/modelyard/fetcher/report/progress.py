"""The fetching pod's progress, shared with the node's waiting pods: a small file beside what arrives.

One JSON object: `{"pod": <uid>, "bytes_done", "bytes_total", "bytes_per_second"}`, replaced about once a second.
"""

import contextlib
import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from modelyard.contract.digests import UID
from modelyard.fetcher.report.state import State

FILE_NAME = "progress.json"
INTERVAL_S = 1.0

STALE_S = 10.0
"""A file not updated for this long was left by a pod that is gone."""

_SIZE_LIMIT_BYTES = 4096


@dataclass(frozen=True)
class Progress:
    """Of the pod that fetches."""

    pod: str
    bytes_done: int
    bytes_total: int
    bytes_per_second: int


@contextlib.contextmanager
def published(folder: Path, pod_uid: str, state: State) -> Iterator[None]:
    """Publishes the state to waiting pods, until the end of the context."""
    ended = threading.Event()

    def publish_until_the_end() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):  # a full disk must not stop the fetch
                _write(folder, pod_uid, state)
            ended.wait(INTERVAL_S)

    thread = threading.Thread(target=publish_until_the_end, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _write(folder: Path, pod_uid: str, state: State) -> None:
    now = state.report()
    progress = Progress(pod_uid, now.bytes_done or 0, now.bytes_total or 0, now.bytes_per_second or 0)
    new = folder / f".{FILE_NAME}"
    new.write_text(json.dumps(asdict(progress)))
    new.replace(folder / FILE_NAME)


def latest(folders: list[Path]) -> Progress | None:
    """The most recent progress in any of the folders; None if there is none that is current and valid."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        times_s = {file: file.lstat().st_mtime for folder in folders if (file := folder / FILE_NAME).exists()}
        if times_s and time.time() - max(times_s.values()) < STALE_S:
            return _read(max(times_s, key=lambda file: times_s[file]))
    return None


def _read(path: Path) -> Progress:
    """Another user of the namespace wrote it: bounded, and nothing but what it should be."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("no file")
        progress = json.loads(file.read(_SIZE_LIMIT_BYTES))
    pod = progress["pod"]
    sizes = [progress[key] for key in ("bytes_done", "bytes_total", "bytes_per_second")]
    if not isinstance(pod, str) or not UID.fullmatch(pod):
        raise ValueError("no pod")
    if any(type(size) is not int or not 0 <= size < 2**63 for size in sizes):
        raise ValueError("no sizes")
    return Progress(pod, *sizes)
