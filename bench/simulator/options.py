"""What a person may choose for a run, by environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MOST_RUNS = 10


class InvalidOptionError(Exception):
    """What is wrong, and what to do about it."""


@dataclass(frozen=True)
class Options:
    """``runs`` of the real engine, of four phases of ``phase_s`` seconds; ``seed`` is that of the arrivals. ``file`` is
    where what was measured is kept. ``recorded``: it is taken from there instead, and no engine runs.
    """

    runs: int
    phase_s: int
    seed: int
    file: Path
    recorded: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises InvalidOptionError for a value that is no number, or too small or large a one."""
        recorded = environment.get("BENCH_RECORDED")
        return cls(
            runs=_number(environment, "BENCH_RUNS", 3, 2, MOST_RUNS),
            phase_s=_number(environment, "BENCH_PHASE_SECONDS", 60, 40, 600),
            seed=_number(environment, "BENCH_SEED", 1, 0, 2**32),
            file=Path(recorded or "build/tmp/bench-simulator/recording.json"),
            recorded=bool(recorded),
        )


def _number(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise InvalidOptionError(f"{name} is {text!r}: it must be a whole number from {least} to {most}")
    return int(text)


def engines_processor() -> int:
    """One processor for the engine, the first; clients take the last. Raises InvalidOptionError where there is one."""
    own = sorted(os.sched_getaffinity(0))
    if len(own) < 2:
        raise InvalidOptionError("Two processors are needed: one for the engine, one for its clients")
    return own[0]
