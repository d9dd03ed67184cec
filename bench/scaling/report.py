"""What was simulated, as tables for people. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean

from bench.fetch.ratios import Figure
from bench.scaling.families import CLAIRVOYANT, STATIC
from bench.scaling.fronts import TARGETS, front
from bench.scaling.published import Beside
from bench.scaling.results import Results, families_in_order
from modelyard.scaling.simulator.score import Score


def tuned_table(tuned: Mapping[str, Mapping[str, Mapping[float, str]]]) -> str:
    """The settings that each family was tuned to, by profile and target."""
    rows = [
        (profile, family, *(settings[target] for target in TARGETS))
        for profile, families in tuned.items()
        for family, settings in families.items()
        if settings
    ]
    return table(("tuned on", "policy", *(f"for {target:.1%}" for target in TARGETS)), rows)


def profiles_table(found: Iterable[Beside]) -> str:
    """How far the profiles are from published measurements."""
    rows = [(one.profile, one.source, str(one.rows), f"{one.error:.1%}", f"{one.fitted_error:.1%}") for one in found]
    return table(("profile", "measured by", "rows", "mean error", "of a fit to them"), rows)


def case_table(results: Results, case: str, bound_hours: float) -> str:
    """Each setting that ran, those in hindsight by their front only."""
    rows = []
    for family in families_in_order():
        points = results.points(case, family)
        shown = front(points) if family in {STATIC, CLAIRVOYANT} else sorted(points, key=lambda one: one.attainment)
        rows += [
            (family, point.setting, *_cells(list(results.by_case[case][family, point.setting].values())))
            for point in shown
        ]
    head = (
        "policy",
        "setting",
        "attained %",
        "GPU-hours",
        "changes/h",
        "replicas, mean",
        "peak",
        "at maximum %",
        "failed",
    )
    return f"### {case}\n\nNo policy can be below {bound_hours:.1f} GPU-hours.\n\n{table(head, rows)}"


def _cells(scores: Sequence[Score]) -> tuple[str, ...]:
    attained = [100 * score.attainment for score in scores]
    return (
        f"{mean(attained):.2f} ({min(attained):.2f}-{max(attained):.2f})",
        f"{mean(score.device_hours for score in scores):.2f}",
        f"{mean(score.replicas_changed_per_hour for score in scores):.1f}",
        f"{mean(score.mean_replicas for score in scores):.2f}",
        f"{max(score.peak_replicas for score in scores)}",
        f"{100 * mean(score.at_maximum_share for score in scores):.0f}",
        f"{sum(score.failed + score.unfinished for score in scores)}",
    )


def figures_table(figures: Iterable[Figure]) -> str:
    rows = [
        (
            figure.name,
            f"{figure.value:.3f}",
            figure.range,
            f"{figure.operator} {figure.goal:g}",
            "met" if figure.is_met else "missed",
        )
        for figure in figures
    ]
    return table(("figure", "value", "range", "goal", ""), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
