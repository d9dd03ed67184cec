"""Statistics of the benchmarks: ratios within rounds, and whether a figure is met."""

import math

import pytest

from bench.fetch.ratios import Figure, Spread, ratio_figure, ratios, spread


def test_a_spread_is_the_median_and_the_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(median=2.0, least=1.0, most=3.0)


def test_a_ratio_is_taken_in_each_round_so_that_a_slow_round_slows_both_sides() -> None:
    assert ratios([1.0, 10.0, 2.0], [2.0, 20.0, 4.0]) == Spread(0.5, 0.5, 0.5)


def test_clients_of_different_rounds_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (0.5, "RESULT wall 0.500 <= 0.55 met"),
        (0.55, "RESULT wall 0.550 <= 0.55 met"),
        (0.5501, "RESULT wall 0.550 <= 0.55 missed"),
        (math.nan, "RESULT wall nan <= 0.55 missed"),
    ],
)
def test_a_figure_is_one_line_for_programs(value: float, line: str) -> None:
    assert Figure("wall", value, 0.55).line() == line


@pytest.mark.parametrize(("value", "verdict"), [(0.96, "met"), (0.95, "met"), (0.94, "missed"), (math.nan, "missed")])
def test_a_figure_can_be_one_that_is_to_be_at_least_its_goal(value: float, verdict: str) -> None:
    assert Figure("share", value, 0.95, at_least=True).line() == f"RESULT share {value:.3f} >= 0.95 {verdict}"


def test_a_ratio_s_figure_is_the_median_of_the_rounds_with_their_range() -> None:
    figure = ratio_figure("wall", [1.0, 2.0, 9.0], [2.0, 2.0, 10.0], 0.95)
    assert figure == Figure("wall", 0.9, 0.95, "0.50-1.00")
    assert figure.is_met
