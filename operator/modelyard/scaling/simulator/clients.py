"""Where requests come from: recorded or made arrivals that wait for nothing, or agents that wait for their answers."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from modelyard.scaling.simulator.request import Request


class Arrival(NamedTuple):
    """A request of a trace, ``time_s`` after its start."""

    time_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


class Clients(Protocol):
    """``opening`` gives the requests that come whatever happens, by time. ``after`` is what the client of a request
    sends next, once that one has finished or failed.
    """

    def opening(self, start_s: float) -> Iterator[Request]: ...

    def after(self, request: Request, now_s: float) -> Request | None: ...


@dataclass(frozen=True)
class OpenLoop:
    """Requests arrive as in the trace, however long the queues are."""

    arrivals: Sequence[Arrival]

    def opening(self, start_s: float) -> Iterator[Request]:
        for arrival in self.arrivals:
            yield Request(start_s + arrival.time_s, *arrival[1:])

    def after(self, request: Request, now_s: float) -> Request | None:  # noqa: ARG002 - the shape of Clients
        return None


class ClosedLoop:
    """``agents`` that each send a request, wait for its end, think for ``think_s`` on average, and send the next.

    They begin one after another during ``ramp_s`` and end after ``duration_s``. The tokens of each request are drawn
    from ``lengths``. One that failed is sent again after ``retry_s``.
    """

    def __init__(
        self,
        agents: int,
        lengths: Sequence[tuple[int, int]],
        duration_s: float,
        *,
        think_s: float = 1.0,
        ramp_s: float = 60.0,
        retry_s: float = 5.0,
        seed: int = 0,
    ) -> None:
        self._agents = agents
        self._lengths = lengths
        self._duration_s = duration_s
        self._think_s = think_s
        self._ramp_s = ramp_s
        self._retry_s = retry_s
        self._seed = seed
        self._chance = random.Random(seed)
        self._end_s = 0.0

    def opening(self, start_s: float) -> Iterator[Request]:
        """From here on all that is left to chance repeats."""
        self._chance.seed(self._seed)
        self._end_s = start_s + self._duration_s
        for agent in range(self._agents):
            yield self._request(start_s + self._ramp_s * agent / self._agents)

    def after(self, request: Request, now_s: float) -> Request | None:
        think_s = self._chance.expovariate(1 / self._think_s) if self._think_s else 0.0
        next_s = now_s + (self._retry_s if request.failure else think_s)
        return self._request(next_s) if next_s < self._end_s else None

    def _request(self, time_s: float) -> Request:
        return Request(time_s, *self._chance.choice(self._lengths))
