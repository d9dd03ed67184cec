"""One engine with continuous batching, as vLLM V1 schedules: decodes first, then prefills in chunks, first come first
served, and preemption of the newest by recompute where the KV cache is full.

It differs from vLLM in that a prompt is admitted only where all of it fits the cache, and attention within a chunk
takes no time of its own. Iterations that only decode are advanced in closed form, many at a time.
"""

import heapq
from collections import deque
from math import inf, sqrt
from typing import NamedTuple

from modelyard.scaling.simulator.counters import Counters
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.request import Request


class Gauges(NamedTuple):
    """Requests that wait and run, and tokens in the KV cache."""

    waiting: int
    running: int
    kv_used_tokens: int


class _Sequence:
    """A request that runs. ``ends_at_step`` is the step of the engine with which it finishes, once it decodes."""

    __slots__ = ("admission", "context", "ends_at_step", "prefill_left", "request")

    def __init__(self, request: Request, admission: int) -> None:
        self.request = request
        self.admission = admission
        self.context = request.input_tokens + request.generated
        self.prefill_left = max(self.context - request.cached_tokens, 1)
        self.ends_at_step = 0


class Engine:
    """``next_s`` is when its state changes next without anything from outside: an iteration ends, or the stretch of
    iterations until a request finishes or the cache is full. It is infinite while the engine is idle. ``in_flight`` are
    its requests, those that wait and those that run.
    """

    def __init__(self, profile: EngineProfile, now_s: float) -> None:
        self.profile = profile
        self.counters = Counters()
        self.next_s = inf
        self.in_flight = 0
        self._seconds = profile.table()
        self._start_s = now_s  # of the iterations planned
        self._planned = 0  # number of iterations that end at next_s
        self._chunks: list[tuple[_Sequence, int]] = []  # what the planned iteration prefills
        self._waiting: deque[Request] = deque()
        self._prefilling: list[_Sequence] = []
        self._decoding: list[tuple[int, int, _Sequence]] = []  # a heap by the step that finishes them
        self._kv_used = 0
        self._context = 0  # tokens that a decode of all who decode reads
        self._step = 0
        self._admissions = 0
        self._left = 0  # requests that waited once the last iteration was decided on
        self._before_chunks = Gauges(0, 0, 0)  # at the end of the last iteration
        self._frozen: Gauges | None = None

    @property
    def gauges(self) -> Gauges:
        """What its metrics show, which vLLM sets at the end of each iteration: whom an iteration admits is seen waiting
        until it ends, and who arrives during one is not seen yet. After a mass abort with ``gauges_freeze``, the values
        from before it.
        """
        if self._frozen:
            return self._frozen
        return self._before_chunks if self._chunks else Gauges(self._left, self._running, self._kv_used)

    @property
    def _running(self) -> int:
        return len(self._prefilling) + len(self._decoding)

    def submit(self, request: Request, now_s: float) -> bool:
        """Take a request at ``now_s``, to which the engine was advanced. False for one that can never fit."""
        if request.input_tokens + request.output_tokens > self.profile.kv_capacity_tokens:
            return False
        self._waiting.append(request)
        self.in_flight += 1
        if not self._planned:
            self._start_s = now_s
            self._plan()
        elif len(self._waiting) == 1 and not self._chunks and self._planned > 1 and self._fits(request, self._running):
            self._planned = 1  # the next iteration begins to prefill it
            self.next_s = self._start_s + self._stretch_s(1)
        elif not self._chunks and self._planned > 1:
            self._left += 1
        return True

    def advance(self, now_s: float) -> list[Request]:
        """Run until ``now_s``; the requests that finished."""
        finished: list[Request] = []
        while self.next_s <= now_s:
            end_s = self.next_s
            self._complete(self._planned, end_s, finished)
            self._start_s = end_s
            self._plan()
        if self._planned > 1 and (done := self._iterations_in(now_s - self._start_s)):
            done = min(done, self._planned - 1)
            start_s = self._start_s + self._stretch_s(done)
            self._decode(done)
            self._planned -= done
            self._start_s = start_s
        return finished

    def abort_all(self, gauges_freeze: bool = False) -> list[Request]:
        """Every request leaves at once, as when all clients hang up. vLLM's gauges could keep their values until the
        next step then (vllm-project/vllm#29928).
        """
        self._frozen = self.gauges if gauges_freeze else None
        running = sorted((*self._prefilling, *(one for *_, one in self._decoding)), key=lambda one: one.admission)
        gone = [*(one.request for one in running), *self._waiting]
        self._waiting.clear()
        self._prefilling.clear()
        self._decoding.clear()
        self._chunks = []
        self._kv_used = self._context = self._planned = self.in_flight = self._left = 0
        self.next_s = inf
        return gone

    # What one iteration does

    def _plan(self) -> None:
        """Decide what the next iteration computes; or several, where they only decode."""
        preempted = self._make_room()
        budget = self.profile.batched_tokens_limit - len(self._decoding)
        chunks: list[tuple[_Sequence, int]] = []
        for one in self._prefilling:
            if budget <= 0:
                break
            chunks.append((one, min(one.prefill_left, budget)))
            budget -= chunks[-1][1]
        admissions = self._admissions
        if not preempted:
            self._admit(budget, chunks)
        self._chunks = chunks
        self._left = len(self._waiting)
        batch = len(self._decoding)
        if chunks:
            self._planned = 1
            tokens = batch + sum(tokens for _, tokens in chunks)
            read = self._context + batch + sum(one.context - one.prefill_left + tokens for one, tokens in chunks)
            host_s = self.profile.request_s * (self._admissions - admissions)
            self.next_s = self._start_s + host_s + self._seconds[tokens] + self.profile.kv_read_s * read
        elif batch:
            room = (self.profile.kv_capacity_tokens - self._kv_used) // batch
            self._planned = 1 if preempted else max(min(self._decoding[0][0] - self._step, room), 1)
            self.next_s = self._start_s + self._stretch_s(self._planned)
        else:
            self._planned = 0
            self.next_s = inf

    def _make_room(self) -> bool:
        """Preempt the newest until each decode has room for one more token."""
        preempted = False
        while self._kv_used + len(self._decoding) > self.profile.kv_capacity_tokens:
            newest_decode = max((one for *_, one in self._decoding), key=lambda one: one.admission)
            newest = max([newest_decode, *self._prefilling[-1:]], key=lambda one: one.admission)
            self._preempt(newest)
            preempted = True
        return preempted

    def _preempt(self, one: _Sequence) -> None:
        request = one.request
        if self._prefilling and one is self._prefilling[-1]:
            self._prefilling.pop()
            self._kv_used -= one.context
        else:
            self._decoding = [entry for entry in self._decoding if entry[2] is not one]
            heapq.heapify(self._decoding)
            request.generated = request.output_tokens - (one.ends_at_step - self._step)
            context = request.input_tokens + request.generated - 1
            self._kv_used -= context
            self._context -= context
        self._waiting.appendleft(request)
        self.counters.preemptions += 1

    def _fits(self, request: Request, running: int) -> bool:
        needed = self._kv_used + len(self._decoding) + request.input_tokens + request.generated
        return running < self.profile.running_limit and needed <= self.profile.kv_capacity_tokens

    def _admit(self, budget: int, chunks: list[tuple[_Sequence, int]]) -> None:
        while self._waiting and budget > 0 and self._fits(self._waiting[0], self._running):
            request = self._waiting.popleft()
            self._admissions += 1
            one = _Sequence(request, self._admissions)
            if request.admitted_s is None:
                request.admitted_s = self._start_s
            self._kv_used += one.context
            self._prefilling.append(one)
            chunks.append((one, min(one.prefill_left, budget)))
            budget -= chunks[-1][1]

    # What an iteration leaves

    def _stretch_s(self, iterations: int) -> float:
        """Duration of the next ``iterations`` that only decode."""
        batch = len(self._decoding)
        first_s = self._seconds[batch] + self.profile.kv_read_s * (self._context + batch)
        return iterations * first_s + self.profile.kv_read_s * batch * iterations * (iterations - 1) / 2

    def _iterations_in(self, duration_s: float) -> int:
        """How many whole iterations that only decode end within ``duration_s``."""
        batch = len(self._decoding)
        growth_s = self.profile.kv_read_s * batch / 2
        first_s = self._seconds[batch] + self.profile.kv_read_s * (self._context + batch)
        linear_s = first_s - growth_s
        if growth_s == 0:
            return int(duration_s / linear_s)
        return int((sqrt(linear_s * linear_s + 4 * growth_s * duration_s) - linear_s) / (2 * growth_s))

    def _decode(self, iterations: int) -> None:
        batch = len(self._decoding)
        self._step += iterations
        self._kv_used += batch * iterations
        self._context += batch * iterations
        self.counters.iterations += iterations
        self.counters.generated += batch * iterations

    def _complete(self, iterations: int, end_s: float, finished: list[Request]) -> None:
        self._decode(iterations)
        while self._decoding and self._decoding[0][0] <= self._step:
            one = heapq.heappop(self._decoding)[2]
            context = one.request.input_tokens + one.request.output_tokens - 1
            self._kv_used -= context
            self._context -= context
            self._finish(one.request, end_s, finished)
        for one, tokens in self._chunks:
            one.prefill_left -= tokens
            if not one.prefill_left:
                self._prefilling.remove(one)
                self._first_token(one, end_s, finished)
        self._before_chunks = Gauges(self._left, self._running, self._kv_used)
        self._frozen = None

    def _first_token(self, one: _Sequence, end_s: float, finished: list[Request]) -> None:
        """The prompt is computed: one more token, and from the next iteration on it decodes."""
        request = one.request
        self.counters.generated += 1
        if request.first_token_s is None:
            request.first_token_s = end_s
            self.counters.first_token(request)
        request.generated += 1
        if request.generated == request.output_tokens:
            self._kv_used -= one.context
            self._finish(request, end_s, finished)
            return
        one.ends_at_step = self._step + request.output_tokens - request.generated
        self._context += one.context
        heapq.heappush(self._decoding, (one.ends_at_step, one.admission, one))

    def _finish(self, request: Request, end_s: float, finished: list[Request]) -> None:
        request.generated = request.output_tokens
        request.finished_s = end_s
        self.in_flight -= 1
        self.counters.finish(request)
        finished.append(request)
