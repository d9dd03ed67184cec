"""Steps with results that are kept: what `make demo` is made of.

A step makes one thing, from other steps' things and from inputs (files, versions). Its key is a hash of the content of
all that it is made from, so that a result is found again exactly as long as nothing it depends on has changed.

A result's folder counts only once its `.made` marker stands in it, written last: a killed run leaves a folder without
one, and the next run starts it afresh. (A rename of the finished folder would break virtual environments, which know
their own path.) One file lock per step lets two runs meet: the second waits, then finds the result.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from e2e.cluster.commands import Commands

MARKER = ".made"
LOCK_POLL_S = 0.5


class CannotMakeError(Exception):
    """What is missing and what to do about it, in words for the person at the terminal."""


def cache_folder() -> Path:
    """Where results, logs and locks live: `$XDG_CACHE_HOME/modelyard`, by default `~/.cache/modelyard`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard"


def programs_folder() -> Path:
    """The folder of links to the programs that steps made (kind, kubectl, ...), first in the PATH of every command."""
    return cache_folder() / "bin"


def link_program(name: str, program: Path) -> None:
    """Make `name` in the programs' folder mean this program; another run may do the same at the same time."""
    folder = programs_folder()
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{os.getpid()}"
    partial.unlink(missing_ok=True)
    partial.symlink_to(program)
    partial.replace(folder / name)


@dataclass(frozen=True)
class Making:
    """What a step's `make` is given: where its result goes, its key, a way to run commands, and what it needs."""

    folder: Path
    key: str
    commands: Commands
    results: Mapping[str, "Making"]


@dataclass(frozen=True)
class Step:
    """One thing that is made: `needs` are names of steps, `inputs` are files, folders and literal texts.

    `usually_s` is how long it takes on two cores, until this machine has measured it. `is_made` decides for things that
    live outside the cache folder (an image in the engine, a running cluster); for the others the folder's marker does.
    """

    name: str
    makes: str
    usually_s: float
    make: Callable[[Making], None]
    needs: tuple[str, ...] = ()
    inputs: tuple[Path | str, ...] = ()
    is_made: Callable[[Making], bool] | None = None


def key_of(step: Step, keys_of_needs: Mapping[str, str]) -> str:
    """16 hex digits that change when the content of any input changes, or the key of anything the step needs."""
    digest = hashlib.sha256(step.name.encode())
    for name in sorted(step.needs):
        digest.update(f"\0need {name} {keys_of_needs[name]}".encode())
    for item in step.inputs:
        for label, content in _contents(item):
            digest.update(f"\0input {label} {len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _contents(item: Path | str) -> Iterator[tuple[str, bytes]]:
    if isinstance(item, str):
        yield "text", item.encode()
    elif item.is_dir():
        for path in sorted(p for p in item.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            yield f"{path.relative_to(item)} {path.stat().st_mode & 0o100:o}", path.read_bytes()
    else:
        yield f"{item.name} {item.stat().st_mode & 0o100:o}", item.read_bytes()


def in_order(steps: Iterable[Step], targets: Iterable[str]) -> list[Step]:
    """The targets and all they need, each after what it needs, otherwise as listed.

    Raises ValueError for an unknown name and for a circle.
    """
    by_name = {step.name: step for step in steps}
    ordered: dict[str, Step] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"steps need each other in a circle: {' -> '.join((*above, name))}")
        if name not in by_name:
            raise ValueError(f"no step is called {name!r}; known: {', '.join(by_name)}")
        for need in by_name[name].needs:
            visit(need, (*above, name))
        ordered.setdefault(name, by_name[name])

    for target in targets:
        visit(target, ())
    return list(ordered.values())


class Store:
    """The results on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, step: Step, key: str) -> Path:
        return self.root / "made" / step.name / key

    def log(self, step: Step) -> Path:
        return self.root / "logs" / f"{step.name}.log"

    def ensure(self, step: Step, making: Making, on_start: Callable[[], None], on_wait: Callable[[], None]) -> bool:
        """Make the step's result unless it is there. True when it was made now.

        `on_start` is called before the work starts, `on_wait` when another run holds the step.
        """
        if self._is_made(step, making):
            return False
        with self._lock(step, making.commands, on_wait):
            if self._is_made(step, making):
                return False
            on_start()
            making.commands.log.unlink(missing_ok=True)
            if making.folder.exists():
                shutil.rmtree(making.folder)
            making.folder.mkdir(parents=True)
            step.make(making)
            (making.folder / MARKER).touch()
        return True

    @staticmethod
    def _is_made(step: Step, making: Making) -> bool:
        return step.is_made(making) if step.is_made else (making.folder / MARKER).exists()

    @contextmanager
    def _lock(self, step: Step, commands: Commands, on_wait: Callable[[], None]) -> Iterator[None]:
        path = self.root / "locks" / f"{step.name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as handle:
            if not _try_lock(handle):
                on_wait()
                while not _try_lock(handle):
                    commands.pause(LOCK_POLL_S)
            yield


def _try_lock(handle: IO[str]) -> bool:
    """Take the lock if it is free. The kernel frees it when its process ends, however that ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
