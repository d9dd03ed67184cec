"""What came out, as a table for a terminal and for the page. Pure."""

from collections.abc import Sequence

from modelyard.simulate.compare import Compared

HEAD = ("settings", "attained", "GPU-hours", "replicas: mean", "peak", "changed per hour", "at maximum", "failed")


def rows(compared: Sequence[Compared]) -> list[tuple[str, ...]]:
    """One row for each alternative."""
    return [
        (
            one.alternative.name,
            f"{100 * one.score.attainment:.1f} %",
            f"{one.score.device_hours:.1f}",
            f"{one.score.mean_replicas:.2f}",
            str(one.score.peak_replicas),
            f"{one.score.replicas_changed_per_hour:.1f}",
            f"{100 * one.score.at_maximum_share:.0f} %",
            str(one.score.failed + one.score.unfinished),
        )
        for one in compared
    ]


def text(compared: Sequence[Compared]) -> str:
    """The table in columns: names to the left, figures to the right."""
    lines = [HEAD, *rows(compared)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
