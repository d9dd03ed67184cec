"""What an engine has counted since it started, as its metrics have it."""

from bisect import bisect_left
from itertools import accumulate
from math import inf

from modelyard.integrations.signals.engine_metrics import Histogram
from modelyard.scaling.simulator.request import Request

FIRST_TOKEN_BOUNDS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0),
    *(40.0, 80.0, 160.0, 640.0, 2560.0, inf),
)
"""Buckets of vllm:time_to_first_token_seconds."""

OUTPUT_TOKEN_BOUNDS_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0),
    *(40.0, 80.0, inf),
)
"""Buckets of vllm:request_time_per_output_token_seconds."""


class _Distribution:
    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * len(bounds_s)
        self.sum_s = 0.0
        self.count = 0

    def add(self, value_s: float) -> None:
        self.counts[bisect_left(self.bounds_s, value_s)] += 1
        self.sum_s += value_s
        self.count += 1

    def histogram(self) -> Histogram:
        return Histogram(dict(zip(self.bounds_s, accumulate(self.counts), strict=True)), self.sum_s, self.count)


class Counters:
    """``generated`` and ``prompt`` are tokens, ``prompt`` with those that were in the prefix cache."""

    def __init__(self) -> None:
        self.iterations = 0
        self.preemptions = 0
        self.prompt = 0
        self.cached_prompt = 0
        self.generated = 0
        self.finished = 0
        self.queue_s = 0.0
        self.compute_s = 0.0
        self.first_token_s = _Distribution(FIRST_TOKEN_BOUNDS_S)
        self.output_token_s = _Distribution(OUTPUT_TOKEN_BOUNDS_S)

    def first_token(self, request: Request) -> None:
        """A prompt was computed for the first time."""
        assert request.first_token_s is not None
        self.prompt += request.input_tokens
        self.cached_prompt += request.cached_tokens
        self.first_token_s.add(request.first_token_s - request.arrived_s)

    def finish(self, request: Request) -> None:
        """A request has all its tokens."""
        assert request.admitted_s is not None
        assert request.first_token_s is not None
        assert request.finished_s is not None
        self.finished += 1
        self.queue_s += request.admitted_s - request.arrived_s
        self.compute_s += request.finished_s - request.admitted_s
        if request.output_tokens > 1:
            tokens = request.output_tokens - 1
            self.output_token_s.add((request.finished_s - request.first_token_s) / tokens)
