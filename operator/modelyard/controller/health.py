"""Liveness and readiness of the operator, and its HTTP endpoint.

Not kopf's own probe: one that raises there is retried inside the request, which blocks for seconds.
"""

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from modelyard.api.kinds import Kind

OVERDUE_INTERVALS = 3
"""A last resync older than this many intervals means that the loop is stuck."""

OLDEST_KEY_S = 300.0
"""A key that has waited or run for longer means that the workers are stuck: each reconcile ends within 60 s."""


class Health:
    """The health of this process. ``now_s`` is a monotonic clock."""

    def __init__(self, now_s: Callable[[], float], resync_s: float, oldest_key_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._overdue_s = OVERDUE_INTERVALS * resync_s
        self._oldest_key_s = oldest_key_s
        self._resynced_at_s = now_s()
        self._behind: frozenset[Kind] = frozenset()
        self._stuck: frozenset[Kind] = frozenset()
        self._synced = False
        self._watching = False

    def resynced(self, behind: frozenset[Kind]) -> None:
        """A full LIST succeeded, and showed that the watches of ``behind`` lag; twice in a row means stuck."""
        self._resynced_at_s = self._now_s()
        self._stuck = self._behind & behind
        self._behind = behind
        self._synced = True

    def watching(self) -> None:
        """The watches were started."""
        self._watching = True

    def problems(self) -> list[str]:
        """Why the process should be restarted; empty while it should not."""
        problems = []
        if (age_s := self._now_s() - self._resynced_at_s) > self._overdue_s:
            problems.append(f"the last full LIST is {age_s:.0f} s old")
        if (age_s := self._oldest_key_s()) > OLDEST_KEY_S:
            problems.append(f"a service has waited or been in work for {age_s:.0f} s")
        if self._stuck:
            problems.append(f"the watch of {', '.join(sorted(kind.plural for kind in self._stuck))} delivers no events")
        return problems

    @property
    def is_ready(self) -> bool:
        """Whether all services are in the cache and watched."""
        return self._synced and self._watching


def endpoint(health: Health, metrics_text: Callable[[], bytes]) -> web.Application:
    """GET /healthz, /readyz and /metrics."""

    async def healthz(_: web.Request) -> web.Response:
        problems = health.problems()
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return web.Response(status=status, text="\n".join(problems) or "ok")

    async def readyz(_: web.Request) -> web.Response:
        if health.is_ready:
            return web.Response(text="ok")
        return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="not synced yet")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics_text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return application
