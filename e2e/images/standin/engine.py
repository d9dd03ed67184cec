"""The running engine: turns the scheduler's steps into tokens over time, and measures them as vLLM does."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Literal

from .exposition import Metrics
from .scheduler import Request, Scheduler, Step

WORDS = (" the", " model", " is", " not", " here", ";", " words", " stand", " in", " for", " it", ".")


class EngineDead(Exception):  # noqa: N818  # as the real engine names it
    def __init__(self) -> None:
        super().__init__("EngineCore encountered an issue. See stack trace (above) for the root cause.")


class EngineStopping(Exception):  # noqa: N818  # no fault: it has been ordered to stop
    def __init__(self) -> None:
        super().__init__("cannot schedule new futures after shutdown")


class QueueFull(Exception):  # noqa: N818  # no fault: a limit that the command line set
    def __init__(self) -> None:
        super().__init__(
            "The engine is currently busy and cannot accept new requests. "
            "Please try again later or on a different instance."
        )


@dataclass(frozen=True)
class Piece:
    """One token of an answer."""

    text: str
    finish_reason: str | None


End = Literal["aborted", "dead"]


class Engine:
    """`state` is `running`; `draining` lets accepted requests finish; `dead` fails them; `silent` sends nothing more,
    which is how clients of the real engine are left hanging.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        metrics: Metrics,
        *,
        tokens_per_s: float,
        max_queued: int | None,
        gauges: str = "current",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state: Literal["running", "draining", "dead", "silent"] = "running"
        self.died = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._work = asyncio.Event()
        self._scheduler = scheduler
        self._metrics = metrics
        self._step_s = 1 / tokens_per_s
        self._max_queued = max_queued
        self._gauges = gauges
        self._clock = clock
        self._answers: dict[Request, asyncio.Queue[Piece | End]] = {}

    @property
    def in_flight(self) -> int:
        return self._scheduler.in_flight

    def refresh_gauges(self) -> None:
        """Brings what /metrics shows about this moment up to date, where it does not show the last step."""
        if self._gauges == "current":
            self._set_gauges()

    def _set_gauges(self) -> None:
        waiting = len(self._scheduler.waiting)
        self._metrics.set("vllm:num_requests_running", len(self._scheduler.running))
        self._metrics.set("vllm:num_requests_waiting", waiting)
        self._metrics.set("vllm:num_requests_waiting_by_reason", waiting, reason="capacity")
        self._metrics.set("vllm:kv_cache_usage_perc", self._scheduler.cache_usage)

    async def run(self) -> None:
        """Steps while there is work, until cancelled. A late step is not made up for: a busy engine is slower."""
        while True:
            await asyncio.sleep(self._step_s)
            if self.state in ("running", "draining") and self.in_flight:
                now_s = self._clock()
                self._deliver(self._scheduler.step(now_s), now_s)
            if not self.in_flight:
                self._idle.set()
                self._work.clear()
                await self._work.wait()

    def admit(self, prompt_tokens: int, max_tokens: int, answer_tokens: int) -> Request:
        """Queues a request. Raises QueueFull, EngineStopping or EngineDead."""
        if self.state == "dead":
            raise EngineDead
        if self.state != "running":
            raise EngineStopping
        if self._max_queued is not None and self.in_flight >= self._max_queued:
            self._metrics.add("vllm:admission_rejections_total", reason="max_num_queued_reqs")
            raise QueueFull
        request = Request(prompt_tokens, max_tokens, min(answer_tokens, max_tokens), self._clock())
        self._answers[request] = asyncio.Queue()
        self._scheduler.submit(request)
        self._idle.clear()
        self._work.set()
        return request

    async def pieces(self, request: Request) -> AsyncGenerator[Piece, None]:
        """The tokens of an admitted request as they come. Raises EngineDead; leaving early aborts the request."""
        answer = self._answers[request]
        try:
            while True:
                piece = await answer.get()
                if piece == "dead":
                    raise EngineDead
                if piece == "aborted":
                    if request.generated:
                        yield Piece("", "abort")
                    return
                yield piece
                if piece.finish_reason:
                    return
        finally:
            self._forget(request)

    async def drained(self) -> None:
        await self._idle.wait()

    def drain(self) -> None:
        self.state = "draining"

    def silence(self) -> None:
        self.state = "silent"

    def abort(self) -> None:
        """Ends every answer as vLLM's abort does: running ones with a reason, queued ones without a word."""
        self.state = "silent"
        self._end_all("aborted")

    def die(self) -> None:
        """What the death of the engine's core process does to everyone who waits for it."""
        self.state = "dead"
        self._end_all("dead")
        self.died.set()

    def _end_all(self, end: End) -> None:
        self._scheduler.clear()
        for answer in self._answers.values():
            answer.put_nowait(end)

    def _forget(self, request: Request) -> None:
        del self._answers[request]
        if not request.is_finished:
            self._scheduler.remove(request)
            self._metrics.add("vllm:request_success_total", finished_reason="abort")
        if not self.in_flight:
            self._idle.set()

    def _deliver(self, step: Step, now_s: float) -> None:
        metrics = self._metrics
        metrics.first_request(time.time())
        metrics.observe("vllm:iteration_tokens_total", step.tokens)
        metrics.add("vllm:generation_tokens_total", len(step.yielded))
        metrics.add("vllm:num_preemptions_total", step.preemptions)
        for request in step.admitted:
            metrics.add("vllm:prompt_tokens_total", request.prompt_tokens)
            metrics.add("vllm:prompt_tokens_by_source_total", request.prompt_tokens, source="local_compute")
            metrics.add("vllm:prefix_cache_queries_total", request.prompt_tokens)
        for request in step.yielded:
            self._time_token(request, now_s)
            reason = request.finish_reason if request.is_finished else None
            if reason:
                self._measure_finished(request, reason, now_s)
            word = "" if reason == "stop" else WORDS[(request.generated - 1) % len(WORDS)]
            self._answers[request].put_nowait(Piece(word, reason))
        self._set_gauges()

    def _time_token(self, request: Request, now_s: float) -> None:
        if request.first_token_s < 0:
            request.first_token_s = now_s
            self._metrics.observe("vllm:time_to_first_token_seconds", now_s - request.arrived_s)
        else:
            self._metrics.observe("vllm:inter_token_latency_seconds", now_s - request.last_token_s)
        request.last_token_s = now_s

    def _measure_finished(self, request: Request, reason: str, now_s: float) -> None:
        decode_s = request.last_token_s - request.first_token_s
        self._metrics.add("vllm:request_success_total", finished_reason=reason)
        for name, value in (
            ("prompt_tokens", request.prompt_tokens),
            ("generation_tokens", request.generated),
            ("max_num_generation_tokens", request.generated),
            ("params_n", 1),
            ("params_max_tokens", request.max_tokens),
            ("num_preemptions", request.preemptions),
            ("prefill_kv_computed_tokens", request.prompt_tokens),
            ("time_per_output_token_seconds", decode_s / max(1, request.generated - 1)),
            ("queue_time_seconds", request.scheduled_s - request.arrived_s),
            ("inference_time_seconds", request.last_token_s - request.scheduled_s),
            ("prefill_time_seconds", request.first_token_s - request.scheduled_s),
            ("decode_time_seconds", decode_s),
        ):
            self._metrics.observe(f"vllm:request_{name}", value)
        self._metrics.observe("vllm:e2e_request_latency_seconds", now_s - request.arrived_s)
