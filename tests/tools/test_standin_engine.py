"""The stand-in schedules and measures as the real engine was seen to."""

import asyncio
import re

from e2e.images.standin.engine import Engine
from e2e.images.standin.exposition import Metrics
from e2e.images.standin.scheduler import Request, Scheduler
from tests.support.recordings import vllm_recording
from tests.tools.test_standin_metrics import STANDIN, fixture, server_labels

TIMES = re.compile(r"_seconds|_created|^http_|^python_|^process_|cache_config_info")


def requests(count: int, *, prompt_tokens: int = 10, answer_tokens: int = 100) -> list[Request]:
    return [Request(prompt_tokens, answer_tokens, answer_tokens, arrived_s=0.0) for _ in range(count)]


def test_no_more_run_than_allowed_and_the_rest_wait() -> None:
    scheduler = Scheduler(max_running=4, block_tokens=128, blocks=100)
    for request in requests(50):
        scheduler.submit(request)
    scheduler.step(1.0)
    assert (len(scheduler.running), len(scheduler.waiting)) == (4, 46)


def test_the_next_in_line_takes_the_place_of_one_that_finished() -> None:
    scheduler = Scheduler(max_running=1, block_tokens=128, blocks=100)
    first, second = requests(2, answer_tokens=1)
    scheduler.submit(first)
    scheduler.submit(second)
    scheduler.step(1.0)
    assert scheduler.running == []
    assert scheduler.step(2.0).yielded == [second]


def test_cache_usage_counts_the_blocks_of_running_requests_only() -> None:
    scheduler = Scheduler(max_running=4, block_tokens=128, blocks=23)
    for request in requests(50, prompt_tokens=200):
        scheduler.submit(request)
    assert scheduler.cache_usage == 0.0
    scheduler.step(1.0)
    assert scheduler.cache_usage == 8 / 23


def test_a_full_cache_pushes_the_newest_back_to_the_head_of_the_queue() -> None:
    scheduler = Scheduler(max_running=4, block_tokens=10, blocks=4)
    older, newer = requests(2, prompt_tokens=18)
    scheduler.submit(older)
    scheduler.submit(newer)
    scheduler.step(1.0)
    scheduler.step(2.0)
    assert scheduler.running == [older, newer]
    step = scheduler.step(3.0)
    assert step.preemptions == 1
    assert (scheduler.running, list(scheduler.waiting)) == ([older], [newer])
    assert scheduler.cache_usage == 3 / 4


def test_a_request_that_fills_the_cache_alone_goes_on() -> None:
    scheduler = Scheduler(max_running=4, block_tokens=10, blocks=1)
    request = requests(1, prompt_tokens=9, answer_tokens=5)[0]
    scheduler.submit(request)
    for now_s in range(5):
        scheduler.step(now_s)
    assert request.is_finished
    assert scheduler.in_flight == 0


async def test_two_requests_leave_the_counts_that_the_real_engine_recorded() -> None:
    recorded = fixture("idle-after-2-requests")
    metrics = Metrics((STANDIN / "metrics.prom").read_text(), server_labels(recorded), now_s=0)
    metrics.set("vllm:engine_sleep_state", 1.0, sleep_state="awake")
    engine = Engine(Scheduler(4, 128, 39), metrics, tokens_per_s=1e6, max_queued=None)
    stepping = asyncio.ensure_future(engine.run())
    for prompt_tokens in (2, 4):
        request = engine.admit(prompt_tokens, max_tokens=16, answer_tokens=64)
        pieces = [piece async for piece in engine.pieces(request)]
        assert len(pieces) == 16
        assert pieces[-1].finish_reason == "length"
    engine.refresh_gauges()
    stepping.cancel()
    assert counts(metrics.text()) == counts(recorded)


async def test_a_client_that_leaves_frees_its_place() -> None:
    recorded = vllm_recording("fixtures/vllm-0.32.0-idle-cold.prom").read_text()
    metrics = Metrics((STANDIN / "metrics.prom").read_text(), server_labels(recorded), now_s=0)
    engine = Engine(Scheduler(4, 128, 39), metrics, tokens_per_s=1e6, max_queued=None)
    pieces = engine.pieces(engine.admit(2, max_tokens=10**6, answer_tokens=10**6))
    stepping = asyncio.ensure_future(engine.run())
    await anext(pieces)
    assert engine.in_flight == 1
    await pieces.aclose()
    assert engine.in_flight == 0
    stepping.cancel()


def counts(exposition: str) -> dict[str, str]:
    """Every sample of vLLM's own that does not depend on the clock."""
    samples = (line.rpartition(" ") for line in exposition.splitlines() if not line.startswith("#"))
    return {series: value for series, _, value in samples if not TIMES.search(series)}
