"""Makes steps, independent ones side by side, and shows a person how it goes."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from e2e.cluster.commands import Commands
from e2e.cluster.progress import Progress, Took
from e2e.cluster.steps import Making, Step, Store, in_order, key_of


class StepFailedError(Exception):
    """A step could not be made; what and why has been printed."""


class Durations:
    """How long each step took on this machine the last time it was made: seconds by name, in one file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def usually_s(self, steps: Sequence[Step]) -> dict[str, float]:
        """The measured seconds of each step, else the ones it states."""
        return {step.name: step.usually_s for step in steps} | self._read()

    def measured(self, seconds: Mapping[str, float]) -> None:
        """Remember; when two runs write at once, one of both values is kept."""
        values = self._read() | {name: round(value, 1) for name, value in seconds.items()}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(values, indent=1))
        partial.replace(self._file)

    def _read(self) -> dict[str, float]:
        try:
            return {str(name): float(value) for name, value in json.loads(self._file.read_text()).items()}
        except (OSError, ValueError):
            return {}


def plan(steps: Sequence[Step], targets: Sequence[str], store: Store) -> dict[str, tuple[Step, Making]]:
    """The targets and what they need, in order, each with its key and folders."""
    planned: dict[str, tuple[Step, Making]] = {}
    for step in in_order(steps, targets):
        needed = {name: planned[name][1] for name in step.needs}
        key = key_of(step, {name: making.key for name, making in needed.items()})
        commands = Commands(store.log(step), os.environ)
        planned[step.name] = (step, Making(store.folder(step, key), key, commands, needed))
    return planned


class Run:
    """One run over steps: what is planned, what runs, what each took."""

    def __init__(self, planned: Mapping[str, tuple[Step, Making]], store: Store, progress: Progress) -> None:
        self._planned = planned
        self._store = store
        self._progress = progress
        self._running: dict[Future[Took], Step] = {}
        self.took: dict[str, Took] = {}

    def make_all(self, tick_s: float = 1) -> list[Took]:
        """Make everything; returns what each took. Raises StepFailedError, after ending what still ran."""
        with ThreadPoolExecutor(max_workers=max(len(self._planned), 1)) as pool:
            try:
                while len(self.took) < len(self._planned):
                    self._start_ready(pool)
                    done, _ = wait(self._running, timeout=tick_s, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._end(future)
                    self._progress.tick()
            finally:
                for step in self._running.values():
                    self._planned[step.name][1].commands.stop()
        return [self.took[name] for name in self._planned]

    def _start_ready(self, pool: ThreadPoolExecutor) -> None:
        underway = {step.name for step in self._running.values()}
        for step, making in self._planned.values():
            is_new = step.name not in underway and step.name not in self.took
            if is_new and all(need in self.took for need in step.needs):
                self._running[pool.submit(self._ensure, step, making)] = step

    def _ensure(self, step: Step, making: Making) -> Took:
        started = time.monotonic()
        made = self._store.ensure(
            step, making, on_start=lambda: self._progress.start(step), on_wait=lambda: self._progress.wait(step)
        )
        return Took(step.name, step.makes, time.monotonic() - started, made)

    def _end(self, future: Future[Took]) -> None:
        step = self._running.pop(future)
        try:
            self.took[step.name] = future.result()
        except Exception as error:
            self._progress.fail(step, self._store.log(step), error)
            raise StepFailedError(step.name) from error
        self._progress.end(step)
