"""`make bench-scaling`: our policy against others, in simulation. docs/benchmarks.md has what is run, and how."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.scaling import goals, report
from bench.scaling.cases import CASES, Case
from bench.scaling.families import BASELINES, CLAIRVOYANT, FAMILIES, OURS, STATIC
from bench.scaling.fronts import tuned
from bench.scaling.jobs import Job, Place, bound_hours, jobs_of, run_all
from bench.scaling.options import InvalidOptionError, Options
from bench.scaling.published import beside
from bench.scaling.results import Results
from bench.scaling.store import Store, fingerprint
from tests.support.background_process import REPOSITORY

_TRAINING_SEEDS = (1001,)
_REPORTED_FROM = 1

Tuned = Mapping[str, Mapping[str, Mapping[float, str]]]
"""The setting by profile, family and target."""


def main() -> int:
    """The whole run, or what of it fits the time; the exit status is 1 where some is left to do."""
    try:
        options = Options.from_environment(os.environ)
        reported = {case.name for case in CASES.values() if case.kind != "training"}
        options.check(reported, FAMILIES)
        return _Benchmark(options).run()
    except InvalidOptionError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped: what was simulated is kept, and the next run goes on from there.", file=sys.stderr)
        return 130


class _Benchmark:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._place = Place(options.traces, options.day_hours)
        self._ends_s = time.monotonic() + options.limit_s
        self._store = Store(options.folder / "scores.jsonl", _made_by(self._place))
        self._cases = [case for case in CASES.values() if self._is_reported(case)]
        self._is_whole = True

    def _is_reported(self, case: Case) -> bool:
        return case.kind != "training" and (not self._options.cases or case.name in self._options.cases)

    def run(self) -> int:
        print("## Profiles\n", report.profiles_table(beside(self._options.traces)), sep="\n", end="\n\n")
        self._do("training", self._training_jobs())
        if not self._is_whole:
            return 1  # policies are tuned on all of the training, or on none
        settings = self._tuned()
        seeds = range(_REPORTED_FROM, _REPORTED_FROM + self._options.seeds)
        jobs = jobs_of([case.name for case in self._cases], seeds, lambda case: self._to_report(case, settings))
        self._do("reported days", jobs)
        results = Results({job: self._store.scores[job] for job in jobs if job in self._store.scores})
        print("## Tuned on training days\n", report.tuned_table(settings), sep="\n")
        for case in self._cases:
            if case.name in results.by_case:
                print("", report.case_table(results, case.name, self._bound(case)), sep="\n")
        figures = goals.figures(results)
        print("\n## Goals\n", report.figures_table(figures), sep="\n", end="\n\n")
        print("\n".join(figure.line() for figure in figures))
        return 0 if self._is_whole else 1

    def _families(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if not self._options.families or name in self._options.families]

    def _training_jobs(self) -> list[Job]:
        settings = [(family, setting) for family in self._families(BASELINES) for setting in FAMILIES[family]]
        profiles = {case.tuned_on for case in self._cases}
        cases = [case.name for case in CASES.values() if case.kind == "training" and case.tuned_on in profiles]
        return jobs_of(cases, _TRAINING_SEEDS, lambda _: settings)

    def _tuned(self) -> Tuned:
        """On the mean of the training days, by profile."""
        found: dict[str, dict[str, Mapping[float, str]]] = {}
        for profile in dict.fromkeys(case.tuned_on for case in self._cases):
            days = {case.name for case in CASES.values() if case.kind == "training" and case.tuned_on == profile}
            scores = {
                Job("training", job.family, job.setting, job.seed + 10_000 * sorted(days).index(job.case)): score
                for job, score in self._store.scores.items()
                if job.case in days
            }
            results = Results(scores)
            found[profile] = {family: tuned(results.points("training", family)) for family in self._families(BASELINES)}
        return found

    def _to_report(self, case_name: str, settings: Tuned) -> list[tuple[str, str]]:
        """Our defaults, what was tuned, and in hindsight all that may matter."""
        case = CASES[case_name]
        chosen = [(OURS, setting) for setting in FAMILIES[OURS]]
        if case.kind != "closed":
            for family, by_target in settings[case.tuned_on].items():
                chosen += [(family, setting) for setting in dict.fromkeys(by_target.values())]
            hours = case.duration_s(self._options.day_hours) / 3600 - case.warm_up_s / 3600
            needed = self._bound(case) / hours / case.profile.devices
            counts = range(math.ceil(1.2 * needed), math.ceil(3.2 * needed) + 2)
            chosen += [(STATIC, str(count)) for count in counts if str(count) in FAMILIES[STATIC]]
            chosen += [(CLAIRVOYANT, setting) for setting in FAMILIES[CLAIRVOYANT]]
        families = self._families([OURS, *BASELINES, STATIC, CLAIRVOYANT])
        return [each for each in chosen if each[0] in families]

    def _bound(self, case: Case) -> float:
        return bound_hours(self._place, case.name, _REPORTED_FROM)

    def _do(self, what: str, jobs: Sequence[Job]) -> None:
        """Run what was not run before, and show how far it is."""
        left = [job for job in jobs if job not in self._store.scores]
        _say(f"{what}: {len(jobs) - len(left)} of {len(jobs)} runs were done before")
        shown, began_s = time.monotonic(), time.monotonic()
        for count, (job, score) in enumerate(run_all(self._place, left, self._options.processes), start=1):
            self._store.add(job, score)
            now_s = time.monotonic()
            if now_s - shown > 10 or count == len(left):
                shown = now_s
                rest_s = (now_s - began_s) / count * (len(left) - count)
                _say(f"{what}: {count} of {len(left)}, {rest_s / 60:.0f} min to go ({job.case}, {job.family})")
            if now_s > self._ends_s and count < len(left):
                self._is_whole = False
                _say(f"{what}: the time is over; {len(left) - count} runs are left for the next time")
                return


def _made_by(place: Place) -> Callable[[str], str]:
    """Scores of the baselines stay when only our policy changes; goals and tables may change without a new run."""
    code = REPOSITORY / "operator/modelyard/scaling"
    own = (REPOSITORY / f"bench/scaling/{name}.py" for name in ("cases", "days", "families", "jobs"))
    shared = [*(code / "simulator").rglob("*.py"), *(REPOSITORY / "bench/scaling/policies").rglob("*.py"), *own]
    others, ours = fingerprint(shared, place), fingerprint([*shared, *code.glob("*.py")], place)
    return lambda family: ours if family == OURS else others


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
