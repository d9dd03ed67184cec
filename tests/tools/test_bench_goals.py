"""From what the rounds of a benchmark measured to figures and tables."""

import math
from dataclasses import replace
from pathlib import Path

from bench.fetch import goals, report
from bench.fetch.measure import Sample
from bench.fetch.model import Model
from bench.fetch.places import Place
from bench.fetch.ratios import Figure
from bench.fetch.rounds import Case, Results
from bench.fetch.sharing import Hit, Refetched, Shared

SAMPLE = Sample(began_s=0, wall_s=2.0, sync_s=0.5, cpu_s=1.0, server_cpu_s=0.25, peak_rss_bytes=60_000_000)
PLACE = Place("http://127.0.0.1:80", "models", ("id", "secret"), Model(Path("/source/model"), ()))
SLOW = Case("slow", PLACE, ("modelyard", "s5cmd"))


def results(ours_wall_s: float, theirs_wall_s: float) -> Results:
    ours, theirs = replace(SAMPLE, wall_s=ours_wall_s), replace(SAMPLE, wall_s=theirs_wall_s)
    return Results({("slow", "modelyard"): [ours, ours], ("slow", "s5cmd"): [theirs, theirs]}, rounds=2)


def named(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def test_what_a_client_leaves_to_the_kernel_counts() -> None:
    found = named(goals.of_rounds(results(ours_wall_s=0.5, theirs_wall_s=1.5), ["slow"], ""))
    assert found["fetch_slow_connections"] == Figure("fetch_slow_connections", 0.5, 0.65, "0.50-0.50")


def test_cases_that_did_not_run_have_no_figures() -> None:
    assert set(named(goals.of_rounds(results(1, 1), ["slow"], ""))) == {"fetch_slow_connections", "fetch_peak_rss_mb"}
    assert goals.of_rounds(results(1, 1), ["slow"], "_tls") == []


def test_the_largest_resident_set_of_all_runs_counts() -> None:
    measured = results(1, 1)
    measured.samples["slow", "modelyard"][1] = replace(SAMPLE, peak_rss_bytes=129_000_000)
    figure = named(goals.of_rounds(measured, ["slow"], ""))["fetch_peak_rss_mb"]
    assert (figure.value, figure.is_met, figure.range) == (129.0, False, "60-129")


def test_a_client_that_failed_in_one_round_leaves_its_figures_unmeasured() -> None:
    measured = results(1, 1)
    measured.failures["slow", "s5cmd"] = "it failed: no route"
    figure = named(goals.of_rounds(measured, ["slow"], ""))["fetch_slow_connections"]
    assert math.isnan(figure.value)
    assert not figure.is_met
    assert "it failed: no route" in report.clients_table([SLOW], measured)


def test_sharing_is_judged_by_connections_bytes_and_seconds() -> None:
    hit = Hit(start_s=0.4, authorisation_s=0.1, rest_s=0.05, cpu_s=0.4, file_bytes=0)
    shared = Shared("_tls", Refetched(parts=3.5, connections=4), times_fetched=1.0, hits=[hit])
    assert [figure.line() for figure in goals.of_sharing(shared)] == [
        "RESULT fetch_kill_refetched_parts_tls 3.500 <= 4 met",
        "RESULT fetch_four_pods_bytes_tls 1.000 <= 1 met",
        "RESULT fetch_hit_bytes_tls 0.000 <= 0 met",
        "RESULT fetch_hit_s_tls 0.050 <= 0.1 met",
    ]
    assert "0.400 s to the first request" in report.hits([shared], [SAMPLE])


def test_a_failed_measurement_of_sharing_misses_its_goals() -> None:
    figures = goals.of_sharing(Shared(""))
    assert len(figures) == 4
    assert all(math.isnan(figure.value) and not figure.is_met for figure in figures)
    assert report.hits([Shared("")], []) == ""


def test_the_table_has_a_row_for_each_client_with_its_ratio_to_s5cmd() -> None:
    rows = report.clients_table([SLOW], results(ours_wall_s=0.5, theirs_wall_s=1.5)).splitlines()
    assert rows[2] == (
        "| slow | modelyard | 1.00 (1.00-1.00) | 0.50 (0.50-0.50) | 1.00 | 1.00 (1.00-1.00) | 0.25 | 60 |"
    )
    assert rows[3].startswith("| slow | s5cmd | 2.00 (2.00-2.00) | 1.00 ")
