"""What an engine compiles, kept on the node from pod to pod: ``python3 compile_cache.py restore|publish ...``.

vLLM compiles a model for as long as it loads its weights. The launcher runs this beside the engine, as a process of its
own, so that nothing that happens to the cache can keep the engine from serving.

    <cache>/snapshots/<time>-<pod uid>/   a whole copy of what an engine had compiled; never written again
    <cache>/snapshots/.<pod uid>          one that is being written, or removed
    <cache>/pods/<pod uid>/               there while the pod uses the cache: the node agent then evicts nothing of it

An engine works on a copy in a volume of its pod's own: so no two ever write the same file. It is at the same path in
every pod, since what vLLM keeps can name its own place (https://github.com/vllm-project/vllm/issues/52154).

It is copied into images that are not ours: the standard library only, one file, any Python from 3.8 on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import shutil
import stat
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Files = dict[str, tuple[int, int]]
    """Size in bytes and time of change in nanoseconds, by path below a folder."""

LIMIT_BYTES = 4 << 30
"""Larger ones are neither kept nor restored: compiled models have some hundred megabytes."""
KEPT = 2
"""Snapshots: the newest, and the one before it, which a pod may be copying."""
LEFTOVER_S = 3600.0
"""An incomplete snapshot of this age has no writer any more."""
SHARED_MODE = 0o777
"""Pods of one namespace may run as different users."""


def say(text: str) -> None:
    """A line for the container's log."""
    sys.stderr.write(f"compile cache: {text}\n")


def files_in(folder: pathlib.Path) -> Files:
    """The regular files below a folder; empty if it is missing. Links and the like are left out."""
    found: Files = {}
    for base, _, file_names in os.walk(folder):
        for file_name in file_names:
            path = pathlib.Path(base) / file_name
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found


def size_bytes(files: Files) -> int:
    """Of all of them."""
    return sum(size for size, _ in files.values())


def copy(files: Files, source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies the files with their times, readable for everybody. Raises OSError."""
    for name in files:
        copied = target / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, copied, follow_symlinks=False)
        copied.chmod(stat.S_IMODE(copied.lstat().st_mode) | 0o644)


def sync(folder: pathlib.Path) -> None:
    """Makes all below the folder durable, and the folder's own names. Raises OSError."""
    for base, _, file_names in os.walk(folder):
        for file_name in file_names:
            sync_one(pathlib.Path(base) / file_name)
        sync_one(pathlib.Path(base))


def sync_one(path: pathlib.Path) -> None:
    """Makes a file's bytes durable, or a folder's names. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class CompileCache:
    """The node's cache for one model on one engine, and the folder in which this pod's engine keeps its own."""

    def __init__(self, cache: pathlib.Path, engine_cache: pathlib.Path, pod_uid: str) -> None:
        self._snapshots = cache / "snapshots"
        self._user = cache / "pods" / pod_uid
        self._engine_cache = engine_cache
        self._pod_uid = pod_uid
        self._on_trial = self._user / "on-trial"
        self._distrusted = self._user / "distrusted"

    def restore(self) -> None:
        """Gives the engine the newest snapshot, before it starts. Raises OSError.

        Once an engine has not become ready with a snapshot, its pod restores none: it starts with an empty cache.
        """
        if self._on_trial.exists():
            say("the engine did not become ready with what was restored: it starts without")
            shutil.rmtree(self._engine_cache, ignore_errors=True)
            self._on_trial.replace(self._distrusted)
            return
        if files_in(self._engine_cache) or self._distrusted.exists():
            return  # the container starts again in the same pod
        self._enter()
        snapshot = self._newest()
        if snapshot is None:
            say("nothing was compiled on this node for this model, engine and accelerator yet")
            return
        files = files_in(snapshot)
        if size_bytes(files) > LIMIT_BYTES:
            say(f"{snapshot.name} has {size_bytes(files)} bytes, more than are ever kept: it is not restored")
            return
        arriving = self._engine_cache.with_name(f".{self._engine_cache.name}-arriving")
        shutil.rmtree(arriving, ignore_errors=True)
        try:
            copy(files, snapshot, arriving)
            self._on_trial.touch()
            arriving.replace(self._engine_cache)
        except OSError:
            shutil.rmtree(arriving, ignore_errors=True)
            self._on_trial.unlink(missing_ok=True)
            raise
        say(f"restored {len(files)} files with {size_bytes(files)} bytes of {snapshot.name}")

    def publish(self) -> None:
        """Keeps what the engine compiled, once it is ready, if no snapshot has it. Raises OSError."""
        try:
            self._publish()
        finally:
            shutil.rmtree(self._user, ignore_errors=True)

    def _publish(self) -> None:
        files = files_in(self._engine_cache)
        newest = self._newest()
        known = files_in(newest) if newest and not self._distrusted.exists() else {}
        news = [name for name, (size, _) in files.items() if known.get(name, (None, 0))[0] != size]
        if not news:
            return
        free_bytes = shutil.disk_usage(self._snapshots.parent).free
        if size_bytes(files) > min(LIMIT_BYTES, free_bytes // 2):
            say(f"{size_bytes(files)} bytes are too much to keep: {LIMIT_BYTES} at most, and half of {free_bytes} free")
            return
        self._enter()
        arriving = self._snapshots / f".{self._pod_uid}"
        shutil.rmtree(arriving, ignore_errors=True)
        try:
            self._write(files, arriving)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        self._remove_old()

    def _write(self, files: Files, arriving: pathlib.Path) -> None:
        copy(files, self._engine_cache, arriving)
        if files_in(self._engine_cache) != files:
            say("the engine compiles on: nothing is kept")
            return
        sync(arriving)
        name = f"{time.time_ns():020}-{self._pod_uid}"
        arriving.replace(self._snapshots / name)
        sync_one(self._snapshots)
        say(f"kept {len(files)} files with {size_bytes(files)} bytes as {name}")

    def _enter(self) -> None:
        """Makes the folders that are missing, and this pod one of the cache's users."""
        for folder in (self._snapshots, self._user.parent):
            folder.mkdir(exist_ok=True)
            with contextlib.suppress(PermissionError):  # it is another user's, who has done so
                folder.chmod(SHARED_MODE)
        self._user.mkdir(exist_ok=True)

    def _newest(self) -> pathlib.Path | None:
        return max(self._whole(), key=lambda snapshot: snapshot.name, default=None)

    def _whole(self) -> list[pathlib.Path]:
        if not self._snapshots.is_dir():
            return []
        return [path for path in self._snapshots.iterdir() if not path.name.startswith(".") and path.is_dir()]

    def _remove_old(self) -> None:
        """Another user's snapshots cannot be removed, and stay until the node agent evicts them."""
        for snapshot in sorted(self._whole(), key=lambda path: path.name)[:-KEPT]:
            going = snapshot.with_name(f".{snapshot.name}")
            with contextlib.suppress(OSError):
                snapshot.replace(going)  # no longer a snapshot, so that no engine begins to copy it
                shutil.rmtree(going)
        for leftover in self._snapshots.glob(".*"):
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime > LEFTOVER_S:
                    shutil.rmtree(leftover)


def main() -> int:
    """Runs the action and returns the exit code: 1 if it failed, which callers may ignore."""
    parser = argparse.ArgumentParser(prog="compile_cache.py")
    parser.add_argument("action", choices=("restore", "publish"))
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="the node's folder for this engine and model")
    parser.add_argument("--engine-cache", type=pathlib.Path, required=True, help="where the engine keeps its own")
    parser.add_argument("--pod-uid", required=True)
    options = parser.parse_args()
    cache = CompileCache(options.cache, options.engine_cache, options.pod_uid)
    try:
        if options.action == "restore":
            cache.restore()
        else:
            os.nice(19)  # the engine serves
            cache.publish()
    except OSError as error:
        say(f"{options.action} failed, the engine does without: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
