"""What a person sees while steps run: what, how long so far, how long it usually takes; and a table at the end."""

import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from e2e.cluster.commands import CommandError
from e2e.cluster.steps import CannotMakeError, Step


def minutes(seconds: float) -> str:
    """`0:07`, `9:30`, `1:02:03`."""
    total = round(seconds)
    hours, rest = divmod(total, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


@dataclass(frozen=True)
class Took:
    """How a step ended: made now or found, and the seconds that took."""

    name: str
    makes: str
    seconds: float
    made: bool


def table(rows: list[Took], total_s: float) -> str:
    """What each step took. Steps run side by side: the total is the time that passed, not the sum."""
    width = max([len(row.name) for row in rows], default=0)
    lines = [
        f"  {row.name:<{width}}  {minutes(row.seconds):>7}  {'' if row.made else 'was there: '}{row.makes}"
        for row in rows
    ]
    return "\n".join([*lines, f"  {'in all':<{width}}  {minutes(total_s):>7}"])


class Progress:
    """Prints as steps start, run and end; steps run in threads. `clock` returns seconds."""

    def __init__(
        self, usually_s: Mapping[str, float], clock: Callable[[], float], out: TextIO = sys.stderr, tick_s: float = 30
    ) -> None:
        self._usually_s = usually_s
        self._clock = clock
        self._out = out
        self._tick_s = tick_s
        self._started: dict[str, float] = {}
        self._spoke_at = clock()
        self._lock = threading.Lock()

    def start(self, step: Step) -> None:
        with self._lock:
            self._started[step.name] = self._clock()
            self._print(f"> {step.name}: {step.makes} (usually {minutes(self._usually_s[step.name])})")

    def wait(self, step: Step) -> None:
        with self._lock:
            self._print(f"> {step.name}: another run is making it, waiting for that")

    def end(self, step: Step) -> None:
        with self._lock:
            started = self._started.pop(step.name, None)
            if started is not None:
                self._print(f"+ {step.name}: done in {minutes(self._clock() - started)}")

    def fail(self, step: Step, log: Path, error: Exception) -> None:
        with self._lock:
            self._started.pop(step.name, None)
            is_explained = isinstance(error, (CannotMakeError, CommandError))
            where = f"\n  The whole log of this step: {log}" if log.exists() else ""
            self._print(f"! {step.name}: {error if is_explained else repr(error)}{where}")

    def tick(self) -> None:
        """Print what runs, when nothing was printed for a while."""
        with self._lock:
            now = self._clock()
            if self._started and now - self._spoke_at >= self._tick_s:
                running = (
                    f"{name} {minutes(now - started)} of about {minutes(self._usually_s[name])}"
                    for name, started in self._started.items()
                )
                self._print(f"  ... {', '.join(running)}")

    def _print(self, line: str) -> None:
        self._spoke_at = self._clock()
        print(line, file=self._out, flush=True)
