"""What was measured, as tables for people and lines for programs. Pure."""

from collections.abc import Sequence
from dataclasses import fields
from itertools import combinations

from bench.fetch.ratios import Figure, spread
from bench.simulator.calibrate import Calibration
from bench.simulator.compare import Errors, Window, errors
from modelyard.scaling.simulator.profiles import predicted_s

GOAL = 0.15


def calibration_table(calibration: Calibration) -> str:
    """Measured iterations beside those of the profile that was fitted to them."""
    profile = calibration.profile
    rows = [("what", "tokens", "tokens read", "ms", "fitted ms", "off"), ("---",) * 6]
    for name, row in calibration.measured.items():
        fitted_s = predicted_s(profile, row)
        cells = (
            f"{row.tokens:.1f}",
            f"{row.context_tokens:.0f}",
            f"{row.seconds * 1000:.1f}",
            f"{fitted_s * 1000:.1f}",
        )
        rows.append((name, *cells, f"{fitted_s / row.seconds - 1:+.1%}"))
    return _table(rows)


def windows_table(real: Sequence[Sequence[Window]], simulated: Sequence[Window]) -> str:
    """Each window of the real runs, their median and range, beside the simulated one."""
    rows = [("from s", "tokens/s real", "simulated", "waiting real", "simulated", "running real", "simulated")]
    rows.append(("---",) * 7)
    for number, mine in enumerate(simulated):
        theirs = [run[number] for run in real]
        rows.append(
            (
                f"{mine.start_s:.0f}",
                str(spread([each.generated_per_s for each in theirs])),
                f"{mine.generated_per_s:.2f}",
                str(spread([each.waiting for each in theirs])),
                f"{mine.waiting:.2f}",
                str(spread([each.running for each in theirs])),
                f"{mine.running:.2f}",
            )
        )
    return _table(rows)


def errors_table(real: Sequence[Sequence[Window]], simulated: Sequence[Window]) -> str:
    """How far the simulation is from the real runs, and how far these are from one another."""
    rows: list[tuple[str, ...]] = [
        ("curve", "simulated, from each real run", "real runs, from one another"),
        ("---",) * 3,
    ]
    ours = [errors(simulated, run) for run in real]
    theirs = [errors(one, other) for one, other in combinations(real, 2)]
    for field in fields(Errors):
        cells = (
            str(spread([getattr(each, field.name) for each in found])) if found else "" for found in (ours, theirs)
        )
        rows.append((field.name, *cells))
    return _table(rows)


def figures(real: Sequence[Sequence[Window]], simulated: Sequence[Window]) -> list[Figure]:
    """The median over the real runs of how far the simulation is from each."""
    ours = [errors(simulated, run) for run in real]
    return [
        _figure("simulator_throughput_error", [each.generated for each in ours]),
        _figure("simulator_waiting_error", [each.waiting for each in ours]),
    ]


def _figure(name: str, values: Sequence[float]) -> Figure:
    found = spread(values)
    return Figure(name, found.median, GOAL, f"{found.least:.3f}-{found.most:.3f}")


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
