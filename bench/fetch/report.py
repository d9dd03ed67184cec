"""What was measured, as tables for people and lines for programs. Pure."""

import statistics
from collections.abc import Sequence

from bench.fetch.measure import Sample
from bench.fetch.ratios import Figure, ratios, spread
from bench.fetch.rounds import Case, Results
from bench.fetch.sharing import Hit, Shared

_COMPARED_WITH = "s5cmd"


def clients_table(cases: Sequence[Case], results: Results) -> str:
    """One row per case and client, with the ratio to s5cmd in the same rounds."""
    rows: list[tuple[str, ...]] = [
        ("case", "client", "durable s", "/ s5cmd", "CPU s", "/ s5cmd", "server's CPU s", "peak RSS MB"),
        ("---",) * 8,
    ]
    rows += [(case.name, client, *_cells(results, case.name, client)) for case in cases for client in case.clients]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(results: Results, case: str, client: str) -> tuple[str, ...]:
    samples, others = results.of(case, client), results.of(case, _COMPARED_WITH)
    if not samples:
        return (results.failures.get((case, client), "no round was done").splitlines()[0], *[""] * 5)
    return (
        str(spread([sample.durable_s for sample in samples])),
        str(ratios(_durables(samples), _durables(others))) if others else "",
        f"{statistics.median(sample.cpu_s for sample in samples):.2f}",
        str(ratios([one.cpu_s for one in samples], [one.cpu_s for one in others])) if others else "",
        f"{statistics.median(sample.server_cpu_s for sample in samples):.2f}",
        f"{max(sample.peak_rss_bytes for sample in samples) / 1e6:.0f}",
    )


def _durables(samples: Sequence[Sample]) -> list[float]:
    return [sample.durable_s for sample in samples]


def hits(shared: Sequence[Shared], client_starts: Sequence[Sample]) -> str:
    """What a pod takes whose model is here, beside what boto3 alone takes to start."""
    lines = [_hit(one.suffix, one.hits) for one in shared if one.hits]
    if client_starts:
        wall_s = statistics.median(sample.wall_s for sample in client_starts)
        cpu_s = statistics.median(sample.cpu_s for sample in client_starts)
        lines.append(f"* `import boto3` and a client of it, alone: {wall_s:.3f} s, {cpu_s:.2f} CPU-s.")
    return "\n".join(lines)


def _hit(suffix: str, found: Sequence[Hit]) -> str:
    start_s = statistics.median(hit.start_s for hit in found)
    authorisation_s = statistics.median(hit.authorisation_s for hit in found)
    rest_s = statistics.median(hit.rest_s for hit in found)
    cpu_s = statistics.median(hit.cpu_s for hit in found)
    return (
        f"* a hit (nginx{suffix}): {start_s:.3f} s to the first request, {authorisation_s:.3f} s of listing and "
        f"authorisation, {rest_s:.3f} s to the end; {cpu_s:.2f} CPU-s in all."
    )


def figures_table(figures: Sequence[Figure]) -> str:
    rows = [("figure", "value", "range", "goal", ""), ("---",) * 5]
    rows += [
        (figure.name, f"{figure.value:.2f}", figure.range, f"<= {figure.goal:g}", "met" if figure.is_met else "missed")
        for figure in figures
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
