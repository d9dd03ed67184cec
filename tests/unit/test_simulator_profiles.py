"""Profiles: the time of an iteration, and what is fitted to measurements."""

import random

import pytest

from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.profiles import PROFILES, Measured, fit, mean_error


def _profile(*points: tuple[float, float]) -> EngineProfile:
    return EngineProfile("p", points, 0.0, 1000)


def test_iteration_times_are_linear_between_the_points_flat_before_and_go_on_beyond() -> None:
    profile = _profile((10, 1.0), (20, 2.0), (40, 6.0))
    assert [profile.seconds(tokens) for tokens in (1, 10, 15, 20, 30, 40, 50)] == [1, 1, 1.5, 2, 4, 6, 8]
    assert profile.table()[:21:10] == (1, 1, 2)


def test_one_point_is_a_constant() -> None:
    assert _profile((1, 0.5)).seconds(1000) == 0.5


@pytest.mark.parametrize("points", [(), ((2, 1.0), (1, 1.0)), ((1, 0.0),)])
def test_points_that_make_no_sense_are_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="profile p"):
        _profile(*points)


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="limits"):
        EngineProfile("p", ((1, 1.0),), 0.0, 0)
    with pytest.raises(ValueError, match="as many tokens"):
        EngineProfile("p", ((1, 1.0),), 0.0, 10, batched_tokens_limit=10, running_limit=11)


def test_a_slower_engine_takes_longer_for_everything() -> None:
    profile = PROFILES["a100-llama-8b"]
    slower = profile.slower(1.3)
    assert slower.seconds(777) == pytest.approx(1.3 * profile.seconds(777))
    assert slower.kv_read_s == pytest.approx(1.3 * profile.kv_read_s)


def _measured(profile: EngineProfile, noise: float) -> list[Measured]:
    chance = random.Random(1)
    rows = []
    for tokens in (1, 4, 16, 64, 128, 256, 512, 1024, 2048):
        for context in (0, 1000, 20_000, 100_000):
            seconds = profile.seconds(tokens) + profile.kv_read_s * context
            rows.append(Measured(tokens, context, seconds * chance.uniform(1 - noise, 1 + noise)))
    return rows


def test_a_fit_finds_the_profile_that_made_the_measurements() -> None:
    made = EngineProfile("made", ((1, 0.010), (128, 0.012), (2048, 0.150)), 1e-7, 1000)
    found = fit("found", _measured(made, 0.0), 1000)
    assert mean_error(found, _measured(made, 0.0)) < 0.001
    assert found.kv_read_s == pytest.approx(made.kv_read_s, rel=0.01)


def test_a_fit_of_noisy_measurements_is_within_the_noise() -> None:
    made = EngineProfile("made", ((1, 0.010), (128, 0.012), (2048, 0.150)), 1e-7, 1000)
    found = fit("found", _measured(made, 0.1), 1000, running_limit=64)
    assert mean_error(found, _measured(made, 0.0)) < 0.05
    assert found.running_limit == 64


def test_a_fit_has_no_negative_parts() -> None:
    """Measurements in which reading seems to save time."""
    rows = [
        Measured(tokens, context, 0.01 + 1e-5 * tokens - 1e-9 * context) for tokens in (1, 64) for context in (0, 1000)
    ]
    assert fit("found", rows, 1000).kv_read_s == 0


def test_a_fit_needs_two_sizes() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        fit("found", [Measured(1, 0, 0.1), Measured(1, 10, 0.1)], 1000)


def test_each_named_profile_prefills_at_the_speed_of_its_source() -> None:
    """Tokens per second of a full prefill, within 4 %."""
    speeds = {name: 2048 / profile.seconds(2048) for name, profile in PROFILES.items()}
    assert speeds == {
        "a10g-llama-8b": pytest.approx(2700, rel=0.04),
        "a100-llama-8b": pytest.approx(14_400, rel=0.04),
        "h100-llama-70b": pytest.approx(15_900, rel=0.04),
        "h100x2-qwen3-32b": pytest.approx(15_928, rel=0.04),
    }


def test_a_fit_finds_times_that_grow_less_from_some_size_on_than_before() -> None:
    made = EngineProfile("made", ((1, 0.10), (8, 0.17), (64, 0.40), (1024, 6.0)), 2e-5, 1000)
    rows = [
        Measured(tokens, context, made.seconds(tokens) + 2e-5 * context)
        for tokens in (1, 2, 4, 8, 16, 64, 256, 1024)
        for context in (0, 2000)
    ]
    assert mean_error(fit("found", rows, 1000), rows) < 0.001


def test_a_fit_finds_what_a_request_takes_beside_its_tokens() -> None:
    rows = [Measured(tokens, 0, 0.1 + 0.01 * tokens) for tokens in (1, 2, 4, 8)]
    rows += [Measured(tokens, 0, 0.1 + 0.01 * tokens + 0.03, requests=1) for tokens in (1, 16, 64)]
    assert fit("found", rows, 1000).request_s == pytest.approx(0.03)


def test_many_sizes_are_fitted_as_well() -> None:
    rows = [Measured(tokens + 0.5, 0, 0.1 + 0.01 * tokens) for tokens in range(500)]
    assert mean_error(fit("found", rows, 1000), rows) < 0.01
