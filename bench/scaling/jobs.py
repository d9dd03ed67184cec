"""One run of the benchmark: a setting of a policy in one case with one seed, and its score."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench.scaling.cases import CASES
from bench.scaling.days import Folder
from bench.scaling.families import FAMILIES, Known
from modelyard.scaling.simulator.bound import least_device_hours
from modelyard.scaling.simulator.clients import Arrival, OpenLoop
from modelyard.scaling.simulator.profiles import PROFILES
from modelyard.scaling.simulator.run import Outcome, Scenario, run
from modelyard.scaling.simulator.score import Score, score


@dataclass(frozen=True, order=True)
class Job:
    """A case, a family of policies and one of its settings by their names, and a seed."""

    case: str
    family: str
    setting: str
    seed: int


@dataclass(frozen=True)
class Place:
    """Where the traces are, and how many hours a day is compressed to."""

    traces: Path
    day_hours: float


@lru_cache(maxsize=2)
def _scenario(place: Place, case: str, seed: int) -> Scenario:
    return CASES[case].scenario(Folder(place.traces), seed, place.day_hours)


def _arrivals(scenario: Scenario) -> tuple[Arrival, ...]:
    return tuple(scenario.clients.arrivals) if isinstance(scenario.clients, OpenLoop) else ()


def simulate(place: Place, job: Job) -> Outcome:
    """The run itself."""
    case, scenario = CASES[job.case], _scenario(place, job.case, job.seed)
    known = Known(PROFILES[case.tuned_on], case.limits, _arrivals(scenario), scenario.start_s)
    policy, memory = FAMILIES[job.family][job.setting](known)
    return run(scenario, policy, case.scaling, memory)


def scored(place: Place, job: Job) -> Score:
    """Run the job."""
    case = CASES[job.case]
    return score(simulate(place, job), case.limits, case.maximum, case.warm_up_s)


def bound_hours(place: Place, case_name: str, seed: int) -> float:
    """GPU-hours that no policy can be below in this case: see bound.py. NaN where clients wait for their answers."""
    case, scenario = CASES[case_name], _scenario(place, case_name, seed)
    arrivals = _arrivals(scenario)
    if not arrivals:
        return float("nan")
    return least_device_hours(arrivals, case.profile, case.warm_up_s, scenario.duration_s, case.minimum)


def run_all(place: Place, jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Score]]:
    """The scores as they come. Jobs of one case and seed share their traffic, so they run one after another."""
    if processes == 1:
        for job in sorted(jobs, key=_traffic):
            yield job, scored(place, job)
        return
    pool = ProcessPoolExecutor(processes)
    try:
        running = {pool.submit(scored, place, job): job for job in sorted(jobs, key=_traffic)}
        for done in as_completed(running):
            yield running[done], done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # who stops early waits for what runs, not for what is left


def _traffic(job: Job) -> tuple[str, int, str, str]:
    return job.case, job.seed, job.family, job.setting


def jobs_of(
    cases: Iterable[str], seeds: Iterable[int], settings: Callable[[str], Iterable[tuple[str, str]]]
) -> list[Job]:
    """A job for each case, seed and (family, setting) that ``settings`` gives for the case."""
    seeds = tuple(seeds)
    return [Job(case, *each, seed) for case in cases for each in settings(case) for seed in seeds]
