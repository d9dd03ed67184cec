"""Runs every client of every case, round by round, in an order that changes: what else the machine does hits all."""

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.fetch.clients import CLIENTS
from bench.fetch.measure import ClientError, Sample, compare, run
from bench.fetch.places import Place

_SLOWEST_BYTES_PER_SECOND = 20_000_000
_START_LIMIT_S = 60


@dataclass(frozen=True)
class Case:
    """Clients that fetch the same model from the same place."""

    name: str
    place: Place
    clients: tuple[str, ...]


@dataclass
class Results:
    """What the rounds that count measured, by case and client; what failed, in words; how many rounds were done."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    rounds: int = 0

    def of(self, case: str, client: str) -> list[Sample]:
        """The samples in order of the rounds; none for a client that failed in one of them."""
        key = (case, client)
        return [] if key in self.failures else self.samples.get(key, [])


def run_rounds(cases: Sequence[Case], rounds: int, folder: Path, ends_s: float, log: Callable[[str], None]) -> Results:
    """Round 0, in which each result is compared with the original and nothing counts, then ``rounds`` that count.

    No round begins after ``ends_s``, a time of the monotonic clock.
    """
    results = Results()
    order = random.Random(0)  # an order that another run repeats
    for number in range(rounds + 1):
        if time.monotonic() > ends_s:
            log(f"out of time: {results.rounds} of {rounds} rounds were done")
            break
        for case in order.sample(cases, len(cases)):
            for client in order.sample(case.clients, len(case.clients)):
                if (case.name, client) not in results.failures:
                    outcome = _run_once(case, client, number, folder, results)
                    log(f"round {number} of {rounds}, {case.name}: {client} {outcome}")
        results.rounds = number
    return results


def _run_once(case: Case, client: str, number: int, folder: Path, results: Results) -> str:
    """One client, once; returns how it went."""
    target = Path(tempfile.mkdtemp(prefix="target-", dir=folder))
    limit_s = _START_LIMIT_S + case.place.model.size_bytes / _SLOWEST_BYTES_PER_SECOND
    try:
        command = CLIENTS[client](case.place, target)
        sample = run(command, limit_s)
        if number == 0:
            compare(command.result, case.place.model.folder)
        else:
            results.samples.setdefault((case.name, client), []).append(sample)
    except ClientError as error:
        results.failures[case.name, client] = str(error)
        return f"FAILED: {error}"
    finally:
        shutil.rmtree(target)
    return f"{sample.durable_s:.2f} s, {sample.cpu_s:.2f} CPU-s, {sample.peak_rss_bytes / 1e6:.0f} MB"
