"""Which replica a request goes to."""

import random
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Protocol

from modelyard.scaling.simulator.pod import Pod
from modelyard.scaling.simulator.request import Request


class Router(Protocol):
    """``choose`` takes one of the pods that serve, never none; ``ended`` is called for each request's end."""

    def choose(self, request: Request, serving: Sequence[Pod], now_s: float) -> Pod: ...

    def ended(self, request: Request, now_s: float) -> None: ...


_LOAD: Callable[[Pod], int] = attrgetter("engine.in_flight")


class LeastLoaded:
    """The replica with the fewest requests, as a gateway for models chooses. A request stays where it was sent."""

    def choose(self, request: Request, serving: Sequence[Pod], now_s: float) -> Pod:  # noqa: ARG002 - as Router
        return min(serving, key=_LOAD)

    def ended(self, request: Request, now_s: float) -> None:
        pass


class PerConnection:
    """A random replica for each new connection, as a Service chooses; a client uses its idle connections again, the one
    used last first, as HTTP clients do.

    Each request comes from a random one of ``clients``. The server closes a connection that was idle for
    ``keep_alive_s`` (uvicorn's default: 5 s), so busy clients stay with the replicas that they have, and new replicas
    get load only as connections end.
    """

    def __init__(self, chance: random.Random, clients: int = 100, keep_alive_s: float = 5.0) -> None:
        self._chance = chance
        self._keep_alive_s = keep_alive_s
        self._idle: list[list[tuple[float, Pod]]] = [[] for _ in range(clients)]  # by the time since which they are
        self._in_use: dict[int, tuple[int, Pod]] = {}

    def choose(self, request: Request, serving: Sequence[Pod], now_s: float) -> Pod:
        client = self._chance.randrange(len(self._idle))
        pod = self._idle_connection(self._idle[client], now_s) or self._chance.choice(serving)
        self._in_use[id(request)] = (client, pod)
        return pod

    def _idle_connection(self, idle: list[tuple[float, Pod]], now_s: float) -> Pod | None:
        while idle:
            since_s, pod = idle.pop()
            if now_s - since_s > self._keep_alive_s:
                idle.clear()  # all others are idle for longer
                return None
            if pod.serves:
                return pod
        return None

    def ended(self, request: Request, now_s: float) -> None:
        used = self._in_use.pop(id(request), None)
        if used is not None and request.failure is None:
            client, pod = used
            self._idle[client].append((now_s, pod))
