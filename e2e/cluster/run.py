"""Makes steps, independent ones side by side, and tells a person how it goes."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from e2e.cluster.commands import Commands
from e2e.cluster.progress import Progress, Took
from e2e.cluster.steps import Making, Step, Store, in_order, key_of, programs_folder


class StepFailedError(Exception):
    """A step could not be made; what and why has been printed."""


class Durations:
    """How long each step took on this machine the last time it was made: seconds by name, in one file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def usually_s(self, steps: Sequence[Step]) -> dict[str, float]:
        """The measured seconds of each step, else the ones it states."""
        return {step.name: step.usually_s for step in steps} | self._read()

    def measured(self, name: str, seconds: float) -> None:
        """Remember; when two runs write at once, one of both values is kept."""
        values = self._read() | {name: round(seconds, 1)}
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
    environment = {**os.environ, "PATH": f"{programs_folder()}:{os.environ.get('PATH', '')}"}
    planned: dict[str, tuple[Step, Making]] = {}
    for step in in_order(steps, targets):
        needed = {name: planned[name][1] for name in step.needs}
        key = key_of(step, {name: making.key for name, making in needed.items()})
        commands = Commands(store.log(step), environment)
        planned[step.name] = (step, Making(store.folder(step, key), key, commands, needed))
    return planned


def make_all(steps: Sequence[Step], targets: Sequence[str], store: Store, progress: Progress, durations: Durations) -> list[Took]:
    """Make the targets and what they need; returns what each took. Raises StepFailedError, after ending what still ran."""
    planned = plan(steps, targets, store)
    took: dict[str, Took] = {}
    running: dict[Future[Took], Step] = {}
    with ThreadPoolExecutor(max_workers=max(len(planned), 1)) as pool:
        try:
            while len(took) < len(planned):
                _start_ready(planned, took, running, pool, store, progress)
                done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                for future in done:
                    step = running.pop(future)
                    took[step.name] = _result(future, step, store, progress)
                    if took[step.name].made:
                        durations.measured(step.name, took[step.name].seconds)
                progress.tick()
        finally:
            for step in running.values():
                planned[step.name][1].commands.stop()
    return [took[name] for name in planned]


def _start_ready(
    planned: Mapping[str, tuple[Step, Making]],
    took: Mapping[str, Took],
    running: dict[Future[Took], Step],
    pool: ThreadPoolExecutor,
    store: Store,
    progress: Progress,
) -> None:
    underway = {step.name for step in running.values()}
    for step, making in planned.values():
        if step.name not in underway and step.name not in took and all(need in took for need in step.needs):
            running[pool.submit(_ensure, step, making, store, progress)] = step


def _ensure(step: Step, making: Making, store: Store, progress: Progress) -> Took:
    started = time.monotonic()
    made = store.ensure(step, making, on_start=lambda: progress.start(step), on_wait=lambda: progress.wait(step))
    return Took(step.name, step.makes, time.monotonic() - started, made)


def _result(future: Future[Took], step: Step, store: Store, progress: Progress) -> Took:
    try:
        took = future.result()
    except Exception as error:
        progress.fail(step, store.log(step), error)
        raise StepFailedError(step.name) from error
    progress.end(step)
    return took
