"""What a person may choose for a run, by environment variables."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.scaling.days import Folder
from tests.support.background_process import REPOSITORY


class InvalidOptionError(Exception):
    """What is wrong, and what to do about it."""


@dataclass(frozen=True)
class Options:
    """``cases`` and ``families`` are all where they are empty; ``limit_s`` is when no further run begins."""

    traces: Path
    folder: Path
    seeds: int
    day_hours: float
    processes: int
    limit_s: float
    cases: frozenset[str]
    families: frozenset[str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises InvalidOptionError for a value that is no number, and where the traces are not there."""
        traces = Path(environment.get("BENCH_TRACES") or REPOSITORY.parent / "shared/traces").absolute()
        if not Folder(traces).is_there():
            raise InvalidOptionError(f"{traces} has no traces: let BENCH_TRACES name the folder that has them")
        return cls(
            traces=traces,
            folder=Path(environment.get("BENCH_FOLDER") or REPOSITORY / "build/tmp/bench-scaling").absolute(),
            seeds=int(_number(environment, "BENCH_SEEDS", 5)),
            day_hours=_number(environment, "BENCH_DAY_HOURS", 4),
            processes=int(_number(environment, "BENCH_PROCESSES", 1)),
            limit_s=60 * _number(environment, "BENCH_MINUTES", 240),
            cases=_names(environment, "BENCH_CASES"),
            families=_names(environment, "BENCH_POLICIES"),
        )

    def check(self, cases: Collection[str], families: Collection[str]) -> None:
        """Raises InvalidOptionError for a name that there is none of."""
        for variable, chosen, known in (
            ("BENCH_CASES", self.cases, cases),
            ("BENCH_POLICIES", self.families, families),
        ):
            if unknown := chosen.difference(known):
                raise InvalidOptionError(f"{variable} names {sorted(unknown)}; there are {', '.join(sorted(known))}")


def _names(environment: Mapping[str, str], name: str) -> frozenset[str]:
    """Names by commas: those of policies have spaces in them."""
    return frozenset(stripped for part in environment.get(name, "").split(",") if (stripped := part.strip()))


def _number(environment: Mapping[str, str], name: str, default: int) -> float:
    text = environment.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise InvalidOptionError(f"{name} is {text!r}: it must be a number above 0")
    return number
