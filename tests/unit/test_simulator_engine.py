"""The simulated engine, held to cases computed by hand and to queueing theory."""

import random
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.scaling.simulator.engine import Engine
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.request import Request


def _engine(kv_capacity_tokens: int = 10_000, batched: int = 2048, running: int = 256) -> Engine:
    """Each iteration takes one second."""
    return Engine(EngineProfile("second", ((1, 1.0),), 0.0, kv_capacity_tokens, batched, running), 0.0)


def _request(arrived_s: float, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Request:
    return Request(arrived_s, input_tokens, output_tokens, cached_tokens)


def _submit(engine: Engine, *requests: Request) -> tuple[Request, ...]:
    for request in requests:
        engine.advance(request.arrived_s)
        assert engine.submit(request, request.arrived_s)
    return requests


def _times(request: Request) -> tuple[float | None, float | None]:
    return request.first_token_s, request.finished_s


def test_the_prompt_gives_the_first_token_and_each_iteration_one_more() -> None:
    engine = _engine()
    (request,) = _submit(engine, _request(10, 100, 3))
    engine.advance(100)
    assert _times(request) == (11, 13)
    assert request.time_per_output_token_s == 1.0
    assert engine.next_s == inf


def test_a_long_prompt_is_computed_in_chunks() -> None:
    engine = _engine(batched=256)
    (request,) = _submit(engine, _request(0, 600, 1))
    engine.advance(100)
    assert _times(request) == (3, 3)


def test_tokens_in_the_prefix_cache_are_not_computed_but_take_room() -> None:
    engine = _engine(batched=256)
    (request,) = _submit(engine, _request(0, 600, 2, cached_tokens=500))
    engine.advance(1)
    assert request.first_token_s == 1
    assert engine.gauges.kv_used_tokens == 600
    assert (engine.counters.prompt, engine.counters.cached_prompt) == (600, 500)


def test_decodes_go_before_prefills_in_the_budget_of_an_iteration() -> None:
    engine = _engine(batched=256, running=200)
    many = _submit(engine, *[_request(0, 1, 10) for _ in range(156)])
    (late,) = _submit(engine, _request(1.5, 150, 1))
    engine.advance(100)
    assert many[0].first_token_s == 1
    assert {request.first_token_s for request in many[1:]} == {2}
    assert late.first_token_s == 4  # 256 less 156 decodes leave 100 tokens, so 150 take two iterations
    assert many[-1].finished_s == 11


def test_who_arrives_while_an_iteration_runs_waits_for_its_end() -> None:
    engine = _engine()
    first, second = _submit(engine, _request(0, 10, 50), _request(5.5, 10, 2))
    engine.advance(100)
    assert _times(first) == (1, 50)
    assert _times(second) == (7, 8)
    assert second.admitted_s == 6


def test_no_more_run_than_the_limit_and_the_others_wait_in_order() -> None:
    engine = _engine(running=1)
    first, second, third = _submit(engine, _request(0, 5, 4), _request(0, 5, 4), _request(0, 5, 4))
    engine.advance(1.5)
    assert (engine.gauges.waiting, engine.gauges.running) == (2, 1)
    engine.advance(100)
    assert [first.finished_s, second.finished_s, third.finished_s] == [4, 8, 12]


def test_a_prompt_waits_until_all_of_it_fits_the_cache() -> None:
    engine = _engine(kv_capacity_tokens=100)
    first, second = _submit(engine, _request(0, 60, 5), _request(0, 50, 2))
    engine.advance(100)
    assert first.finished_s == 5
    assert second.admitted_s == 5


def test_the_newest_is_preempted_where_the_cache_is_full_and_computed_anew() -> None:
    engine = _engine(kv_capacity_tokens=10)
    old, new = _submit(engine, _request(0, 4, 5), _request(0.5, 4, 3))
    engine.advance(1.9)
    assert engine.gauges == (0, 1, 4), "the new one is being computed"
    engine.advance(3)
    assert engine.counters.preemptions == 1
    assert engine.gauges == (1, 1, 4 + 2)
    engine.advance(100)
    assert _times(old) == (1, 5)
    assert _times(new) == (2, 7)  # from 5 on, its prompt and its token are computed again, with the next token
    assert engine.gauges == (0, 0, 0)


def test_a_request_that_can_never_fit_is_refused() -> None:
    engine = _engine(kv_capacity_tokens=100)
    assert not engine.submit(_request(0, 90, 11), 0)
    assert engine.submit(_request(0, 90, 10), 0)


def test_the_time_of_an_iteration_follows_its_tokens_and_what_it_reads() -> None:
    profile = EngineProfile("hand", ((1, 0.010), (101, 0.110)), 0.0001, 10_000)
    engine = Engine(profile, 0.0)
    (request,) = _submit(engine, _request(0, 51, 3))
    engine.advance(100)
    assert request.first_token_s == pytest.approx(0.060 + 51 * 0.0001)
    assert request.finished_s == pytest.approx(0.060 + 51 * 0.0001 + 2 * 0.010 + (52 + 53) * 0.0001)


def test_gauges_freeze_at_a_mass_abort_until_the_next_step() -> None:
    engine = _engine(running=1)
    _submit(engine, _request(0, 5, 100), _request(0, 5, 100))
    engine.advance(10)
    assert len(engine.abort_all(gauges_freeze=True)) == 2
    frozen = engine.gauges
    assert (frozen.waiting, frozen.running, frozen.kv_used_tokens) == (1, 1, 14)
    assert engine.next_s == inf
    engine.submit(_request(20, 5, 1), 20)
    engine.advance(21)
    assert (engine.gauges.waiting, engine.gauges.running, engine.gauges.kv_used_tokens) == (0, 0, 0)


def test_waiting_times_are_those_of_an_m_d_1_queue() -> None:
    """One at a time, one second each: Pollaczek-Khinchine gives the mean wait rho / (2 (1 - rho))."""
    chance, engine, load = random.Random(7), _engine(running=1), 0.7
    requests, now_s = [], 0.0
    for _ in range(60_000):
        now_s += chance.expovariate(load)
        requests.append(_request(now_s, 1, 1))
    _submit(engine, *requests)
    engine.advance(inf if engine.next_s == inf else now_s + 10_000)
    waits_s = [request.admitted_s - request.arrived_s for request in requests if request.admitted_s is not None]
    assert len(waits_s) == len(requests)
    assert sum(waits_s) / len(waits_s) == pytest.approx(load / (2 * (1 - load)), rel=0.05)


def test_throughput_of_a_full_batch_is_batch_by_iteration_time() -> None:
    engine = _engine(kv_capacity_tokens=10**6, running=32)
    requests = _submit(engine, *[_request(0, 10, 100) for _ in range(3200)])
    engine.advance(20_000)
    assert requests[0].finished_s == 100
    assert requests[-1].finished_s == 100 * 100 + 1  # a hundred batches; the first request ran one iteration alone


_REQUESTS = st.lists(
    st.tuples(st.floats(0, 20), st.integers(1, 300), st.integers(1, 60), st.integers(0, 100)), min_size=1, max_size=25
)
_PROFILE = EngineProfile("small", ((1, 0.02), (32, 0.03), (128, 0.2)), 2e-5, 400, 128, 8)


def _replay(arrivals: list[tuple[float, int, int, int]], looks_s: list[float]) -> tuple[Engine, list[Request]]:
    """Run all requests, the engine being looked at at other times too."""
    engine = Engine(_PROFILE, 0.0)
    requests = [_request(*arrival) for arrival in sorted(arrivals)]
    events: list[tuple[float, Request | None]] = [(request.arrived_s, request) for request in requests]
    for time_s, request in sorted([*events, *((look_s, None) for look_s in looks_s)], key=lambda event: event[0]):
        engine.advance(time_s)
        if request is not None:
            assert engine.submit(request, time_s)
    engine.advance(10_000)
    return engine, requests


@settings(deadline=None)
@given(_REQUESTS, st.lists(st.floats(0, 60), max_size=40))
def test_looking_at_it_changes_nothing(arrivals: list[tuple[float, int, int, int]], looks_s: list[float]) -> None:
    """What is advanced in closed form comes to the same as what is advanced step by step."""
    _, undisturbed = _replay(arrivals, [])
    _, disturbed = _replay(arrivals, looks_s)
    for one, other in zip(undisturbed, disturbed, strict=True):
        assert one.first_token_s == pytest.approx(other.first_token_s)
        assert one.finished_s == pytest.approx(other.finished_s)


@settings(deadline=None)
@given(_REQUESTS)
def test_requests_and_tokens_are_conserved(arrivals: list[tuple[float, int, int, int]]) -> None:
    engine, requests = _replay(arrivals, [])
    counters = engine.counters
    assert all(request.finished_s is not None for request in requests)
    assert counters.finished == counters.first_token_s.count == len(requests)
    assert counters.generated == sum(request.output_tokens for request in requests)
    assert counters.prompt == sum(request.input_tokens for request in requests)
    assert engine.gauges == (0, 0, 0)
    assert counters.queue_s + counters.compute_s == pytest.approx(
        sum((request.finished_s or 0) - request.arrived_s for request in requests)
    )


@settings(deadline=None)
@given(_REQUESTS, st.floats(0, 60))
def test_the_cache_never_holds_more_than_fits(arrivals: list[tuple[float, int, int, int]], until_s: float) -> None:
    engine = Engine(_PROFILE, 0.0)
    for arrival in sorted(arrivals):
        engine.advance(arrival[0])
        engine.submit(_request(*arrival), arrival[0])
    now_s = 20.0
    while now_s < until_s:
        now_s += 0.05
        engine.advance(now_s)
        assert 0 <= engine.gauges.kv_used_tokens <= _PROFILE.kv_capacity_tokens
        assert engine.gauges.running <= _PROFILE.running_limit


def test_each_request_that_an_iteration_admits_takes_time_of_its_own() -> None:
    engine = Engine(EngineProfile("host", ((1, 1.0),), 0.0, 10_000, request_s=0.25), 0.0)
    first, second, third = _submit(engine, _request(0, 5, 3), _request(0.5, 5, 1), _request(0.5, 5, 1))
    engine.advance(100)
    assert (first.first_token_s, second.first_token_s, third.first_token_s) == (1.25, 2.75, 2.75)
    assert first.finished_s == 3.75


def test_gauges_are_those_of_the_end_of_the_last_iteration() -> None:
    engine = _engine(running=1)
    _submit(engine, _request(0, 5, 3), _request(0.5, 5, 2))
    assert (engine.gauges.waiting, engine.gauges.running) == (0, 0), "nothing was computed yet"
    engine.advance(1.5)
    assert (engine.gauges.waiting, engine.gauges.running) == (1, 1)
    engine.advance(3.5)
    assert (engine.gauges.waiting, engine.gauges.running) == (1, 0), "the second is admitted, and being computed"
    engine.advance(4.5)
    assert (engine.gauges.waiting, engine.gauges.running) == (0, 1)
    engine.advance(9)
    assert engine.gauges == (0, 0, 0)
