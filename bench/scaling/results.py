"""What all runs came to, by case, family, setting and seed. Pure."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from bench.scaling.families import BASELINES, CLAIRVOYANT, FAMILIES, OURS, STATIC
from bench.scaling.fronts import Point, cheapest
from bench.scaling.jobs import Job
from modelyard.scaling.simulator.score import Score


class Results:
    """``by_case`` has the scores of each case by (family, setting), in the order of the seeds."""

    def __init__(self, scores: Mapping[Job, Score]) -> None:
        self._scores = scores

    @cached_property
    def by_case(self) -> dict[str, dict[tuple[str, str], dict[int, Score]]]:
        found: dict[str, dict[tuple[str, str], dict[int, Score]]] = {}
        for job, score in sorted(self._scores.items()):
            found.setdefault(job.case, {}).setdefault((job.family, job.setting), {})[job.seed] = score
        return found

    def points(self, case: str, family: str) -> list[Point]:
        """The mean over the seeds of each setting of a family."""
        return [
            Point.of(setting, list(scores.values()))
            for (name, setting), scores in self.by_case.get(case, {}).items()
            if name == family
        ]

    def seeds(self, case: str) -> list[int]:
        """Those with which our policy ran."""
        return sorted(
            {seed for (family, _), scores in self.by_case.get(case, {}).items() if family == OURS for seed in scores}
        )

    def ours(self, case: str, seed: int) -> Score:
        return next(
            scores[seed] for (family, _), scores in self.by_case[case].items() if family == OURS and seed in scores
        )

    def at_seed(self, case: str, family: str, seed: int) -> list[Point]:
        """One point for each setting of a family."""
        return [
            Point.of(setting, [scores[seed]])
            for (name, setting), scores in self.by_case.get(case, {}).items()
            if name == family and seed in scores
        ]

    def best_baseline(self, case: str, seed: int) -> tuple[str, float, float] | None:
        """The tuned baseline that is cheapest at our attainment, its GPU-hours and changes per hour there."""
        fronts = {family: self.at_seed(case, family, seed) for family in BASELINES}
        fronts = {family: points for family, points in fronts.items() if points}
        return cheapest(fronts, self.ours(case, seed).attainment) if fronts else None

    def hours_ratios(self, case: str) -> list[float]:
        """Our GPU-hours against the best tuned baseline's at equal attainment, seed by seed."""
        found = []
        for seed in self.seeds(case):
            best = self.best_baseline(case, seed)
            if best is not None:
                found.append(self.ours(case, seed).device_hours / best[1])
        return found

    def changes_ratios(self, case: str) -> list[float]:
        """Our replica changes per hour against those of the same baseline."""
        found = []
        for seed in self.seeds(case):
            best = self.best_baseline(case, seed)
            if best is not None:
                found.append(self.ours(case, seed).replicas_changed_per_hour / max(best[2], 1e-9))
        return found

    def clairvoyant_ratios(self, case: str) -> list[float]:
        """Our GPU-hours against the clairvoyant policy's at equal attainment, or at its best where that is less."""
        found = []
        for seed in self.seeds(case):
            points = self.at_seed(case, CLAIRVOYANT, seed)
            if points:
                ours = self.ours(case, seed)
                found.append(ours.device_hours / cheapest({CLAIRVOYANT: points}, ours.attainment)[1])
        return found


def families_in_order() -> Sequence[str]:
    """Ours, the baselines, and those in hindsight."""
    return [OURS, *(name for name in FAMILIES if name in BASELINES), STATIC, CLAIRVOYANT]
