"""The pages that the benchmark of a tick serves are such as engines have, whose counters go on."""

from itertools import pairwise

from bench.tick.engines import PAGES, page
from modelyard.integrations.engines import vllm
from tests.support.metrics_of_engines import sample

COUNTERS = ("generation_tokens_total", "prompt_tokens_total", "finished_total", "iterations_total", "compute_s_total")


def test_counters_grow_from_tick_to_tick_and_gauges_stay() -> None:
    samples = [sample(vllm.METRICS, page(tick)) for tick in range(PAGES)]
    for earlier, later in pairwise(samples):
        assert earlier.missing == {}
        assert (later.waiting, later.running, later.kv_usage) == (38, 4, 1)
        for counter in COUNTERS:
            assert getattr(later, counter) > getattr(earlier, counter), counter


def test_the_first_page_is_the_recorded_one() -> None:
    first = sample(vllm.METRICS, page(0))
    assert (first.generation_tokens_total, first.first_tokens_total, first.iterations_total) == (13998, 12, 5235)
