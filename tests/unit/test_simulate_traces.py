"""Traces as people have them: each form that is read, and what is refused with which words."""

import pytest

from modelyard.scaling.simulator.clients import Arrival
from modelyard.simulate.traces import InvalidTraceError, parse


def test_a_csv_of_seconds_and_tokens_begins_at_zero() -> None:
    lines = ["time_s,input_tokens,output_tokens", "100.5,200,30", "101,10,0"]
    assert parse(lines) == [Arrival(0.0, 200, 30), Arrival(0.5, 10, 1)]


def test_columns_are_found_by_name_and_times_may_be_dates() -> None:
    """As in Azure/AzurePublicDataset, with seven digits of a second."""
    lines = [
        "TIMESTAMP,ContextTokens,GeneratedTokens\n",
        "2023-11-16 18:17:03.9799600,4808,10\n",
        "2023-11-16 18:17:04.0319600,3180,8\n",
    ]
    first, second = parse(lines)
    assert first == Arrival(0.0, 4808, 10)
    assert second.time_s == pytest.approx(0.052)


@pytest.mark.parametrize("text", ["2026-01-05T10:00:00Z", "2026-01-05T11:00:00+01:00", "2026-01-05T10:00:00.000+00:00"])
def test_a_time_zone_is_taken_into_account(text: str) -> None:
    lines = ["timestamp,input_tokens,output_tokens", "2026-01-05T09:59:00Z,1,1", f"{text},1,1"]
    assert parse(lines)[1].time_s == pytest.approx(60)


def test_cached_tokens_are_read_and_never_more_than_the_input() -> None:
    lines = ["time_s,input_tokens,output_tokens,cached_tokens", "0,100,5,60", "1,100,5,600"]
    assert [arrival.cached_tokens for arrival in parse(lines)] == [60, 100]


def test_json_lines_have_milliseconds() -> None:
    """As in kvcache-ai/Mooncake."""
    lines = [
        '{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}',
        '{"timestamp": 3000, "input_length": 7322, "output_length": 490, "hash_ids": [0]}',
    ]
    assert parse(lines) == [Arrival(0.0, 6758, 500), Arrival(3.0, 7322, 490)]


def test_requests_are_sorted_by_time() -> None:
    assert [arrival.time_s for arrival in parse(["time,prompt_tokens,completion_tokens", "9,1,1", "4,1,1"])] == [0, 5]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no column time_s"),
        (["time_s,input_tokens,output_tokens"], "no requests"),
        (["time_s,input_tokens", "1,2"], "no column output_tokens"),
        (["time_s,input_tokens,output_tokens", "1,2"], "line 2 has 2 columns; its header has 3"),
        (["time_s,input_tokens,output_tokens", "1,2,3", "now,2,3"], "line 3: 'now' is neither seconds nor"),
        (["time_s,input_tokens,output_tokens", "inf,2,3"], "line 2: 'inf' is neither seconds nor"),
        (["time_s,input_tokens,output_tokens", "1,many,3"], "line 2: 'many' is no number of input tokens"),
        (["time_s,input_tokens,output_tokens", "1,2,-3"], "line 2: -3 output tokens are too few"),
        (['{"timestamp": 0, "input_length": 5, "output_length": 1}', "{nonsense"], "line 2 is no JSON"),
        (['{"input_length": 5}'], "line 1 has no number timestamp"),
        (['{"timestamp": 0, "output_length": 5}'], "line 1: None is no number of input tokens"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(lines: list[str], message: str) -> None:
    with pytest.raises(InvalidTraceError, match=message):
        parse(lines)
