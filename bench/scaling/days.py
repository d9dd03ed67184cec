"""The published traces as traffic: what the files have is read here, and nothing of them is kept.

Which file is of whom, and under which licence, is in LICENSE-NOTES.md beside them.
"""

import csv
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from modelyard.scaling.simulator.clients import Arrival
from modelyard.scaling.simulator.traffic import Rates
from modelyard.simulate import traces

DAY_S = 86_400.0


class Folder:
    """The folder that has the traces."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_there(self) -> bool:
        return (self._path / "servegen_rates_10min.csv").is_file()

    def azure_conversation(self) -> list[Arrival]:
        """58 minutes of chats of 2023, 5.5 requests/s."""
        return _trace(self._path / "AzureLLMInferenceTrace_conv.csv")

    def azure_code(self) -> list[Arrival]:
        """58 minutes of code completions of 2023: bursts of seconds, twelve times the mean."""
        return _trace(self._path / "AzureLLMInferenceTrace_code.csv")

    def mooncake(self) -> list[Arrival]:
        """An hour of long conversations: prompts of 12,000 tokens on average."""
        return _trace(self._path / "mooncake_conversation_trace.jsonl")

    def servegen_day(self, model: str, day: int) -> Rates:
        """The rate of all clients of one of Alibaba's models on one day, each 10 minutes. Gaps in the record are filled
        with what was before them.
        """
        found: list[tuple[float, float]] = []
        for row in _rows(self._path / "servegen_rates_10min.csv"):
            time_s = float(row["t_s"]) - day * DAY_S
            if row["model"] == model and 0 <= time_s < DAY_S:
                rate = float(row["total_rate_rps"] or 0)
                found.append((time_s, rate or (found[-1][1] if found else 0.0)))
        return [*found, (DAY_S, 0.0)]


@lru_cache(maxsize=4)
def _trace(path: Path) -> list[Arrival]:
    with path.open(encoding="utf-8") as lines:
        return traces.parse(lines)


@lru_cache(maxsize=1)
def _rows(path: Path) -> Sequence[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return tuple(csv.DictReader(lines))


def scaled(rates: Rates, duration_s: float, mean_per_s: float) -> Rates:
    """The same course within ``duration_s``, at another mean."""
    whole_s = rates[-1][0]
    total = sum(rate * (after - time_s) for (time_s, rate), (after, _) in pairwise(rates))
    return [(time_s * duration_s / whole_s, rate * mean_per_s * whole_s / total) for time_s, rate in rates]


def times(arrivals: Sequence[Arrival], count: int, duration_s: float, shift_s: float = 0.37) -> list[Arrival]:
    """``count`` copies of a trace together, each some time after the one before, until ``duration_s``."""
    copies = (arrival._replace(time_s=arrival.time_s + copy * shift_s) for copy in range(count) for arrival in arrivals)
    return sorted(arrival for arrival in copies if arrival.time_s < duration_s)
