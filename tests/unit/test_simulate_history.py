"""Traffic from Prometheus: counters of pods become requests of the same number and length."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.simulate import history
from modelyard.simulate.invalid import InvalidInputError

FIRST, WAITING = "vllm:time_to_first_token_seconds_count", "vllm:num_requests_waiting"
PROMPT, GENERATED = "vllm:prompt_tokens_total", "vllm:generation_tokens_total"
START_S = 1_767_600_000.0


def _series(name: str, at: Callable[[int], float], pod: str = "llama-1", steps: range = range(121)) -> dict[str, Any]:
    values = [[START_S + 60 * step, str(at(step))] for step in steps]
    return {"metric": {"__name__": name, "pod": pod}, "values": values}


def _steady(per_step: float = 120.0) -> list[dict[str, Any]]:
    """Two requests per second of 500 and 50 tokens, over two hours."""
    return [
        _series(FIRST, lambda step: per_step * step),
        _series(PROMPT, lambda step: 500 * per_step * step),
        _series(GENERATED, lambda step: 50 * per_step * step),
    ]


def test_requests_have_the_rate_and_the_lengths_of_the_counters() -> None:
    found, start_s = history.traffic(_steady(), seed=1)
    assert start_s == START_S
    assert len(found) == pytest.approx(120 * 120, rel=0.03)
    assert sum(one.input_tokens for one in found) / len(found) == pytest.approx(500, rel=0.05)
    assert sum(one.output_tokens for one in found) / len(found) == pytest.approx(50, rel=0.05)
    assert found[-1].time_s < 7200


def test_pods_are_added_up_and_a_counter_that_began_anew_counts_from_zero() -> None:
    two = [*_steady(), _series(FIRST, lambda step: 60 * (step - 40), "llama-2", range(40, 81))]
    assert len(history.traffic(two, seed=1)[0]) == pytest.approx(120 * 120 + 60 * 40, rel=0.03)
    restarted = [_series(FIRST, lambda step: 120 * step if step < 60 else 120 * (step - 59)), *_steady()[1:]]
    assert len(history.traffic(restarted, seed=1)[0]) == pytest.approx(120 * 120, rel=0.03)


def test_what_comes_to_wait_has_arrived_and_what_is_served_late_does_not_arrive_again() -> None:
    """A burst that the engine serves at 60 per step: the queue grows, then it is worked off without arrivals."""
    burst = [
        _series(FIRST, lambda step: 60 * step),
        _series(WAITING, lambda step: 60 * step if step <= 30 else max(60 * 60 - 60 * step, 0)),
        _series(PROMPT, lambda step: 6000 * step),
        _series(GENERATED, lambda step: 600 * step),
    ]
    found, _ = history.traffic(burst, seed=1)
    early = sum(one.time_s < 1800 for one in found)
    between = sum(1800 <= one.time_s < 3600 for one in found)
    assert early == pytest.approx(120 * 30, rel=0.05)
    assert between == 0


def test_the_same_seed_gives_the_same_traffic() -> None:
    assert history.traffic(_steady(), 1) == history.traffic(_steady(), 1)
    assert history.traffic(_steady(), 1) != history.traffic(_steady(), 2)


def test_an_answer_of_the_api_or_its_result_is_read() -> None:
    answer = {"status": "success", "data": {"resultType": "matrix", "result": _steady()}}
    assert history.series_of(json.dumps(answer)) == history.series_of(json.dumps(_steady())) == _steady()


def test_the_query_is_for_the_pods_of_one_service() -> None:
    found = history.promql("team-a", "llama.v2", "24h", "1m")
    assert 'namespace="team-a"' in found
    assert r'pod=~"llama\\.v2-[a-z0-9]+-[a-z0-9]+"' in found
    assert FIRST in found
    assert found.endswith("[24h:1m]")


@pytest.mark.parametrize("text", ["nonsense", "{}", '{"data": {"result": 3}}', '{"data": []}', "5"])
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="the history is no"):
        history.series_of(text)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([], "no two samples of vllm:time_to_first_token_seconds_count"),
        ([{"metric": {"__name__": FIRST}, "value": [1, "2"]}], "no matrix"),
        ([{"metric": {"__name__": FIRST}, "values": [[1, "many"]]}], "no matrix"),
        (["series"], "no matrix"),
        ([_series(FIRST, lambda _: 7.0)], "no requests"),
    ],
)
def test_a_history_without_traffic_is_refused(series: list[Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        history.traffic(series, 1)
