"""Whether the operator lives and whether it is ready, and the HTTP endpoint that says so.

Not kopf's own probe: one that raises there is retried inside the request, and nothing answers for seconds.
"""

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from modelyard.api.kinds import Kind

OVERDUE_INTERVALS = 3
"""A resync that is older than so many intervals means that the loop stands still."""

OLDEST_KEY_S = 300.0
"""A key that waits or is in work for longer means that the workers stand still: each reconcile ends within 60 s."""


class Health:
    """What is known of how the operator fares. ``now_s`` is a clock that never goes back."""

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
        """A full LIST succeeded, and showed that the watches of ``behind`` lag. Twice in a row means stuck."""
        self._resynced_at_s = self._now_s()
        self._stuck = self._behind & behind
        self._behind = behind
        self._synced = True

    def watching(self) -> None:
        """The watches were started."""
        self._watching = True

    def problems(self) -> list[str]:
        """Why the process should be restarted; empty while it should not."""
        found = []
        if (age_s := self._now_s() - self._resynced_at_s) > self._overdue_s:
            found.append(f"the last full LIST is {age_s:.0f} s old")
        if (age_s := self._oldest_key_s()) > OLDEST_KEY_S:
            found.append(f"a service has waited or been in work for {age_s:.0f} s")
        if self._stuck:
            found.append(f"the watch of {', '.join(sorted(kind.plural for kind in self._stuck))} tells nothing new")
        return found

    @property
    def is_ready(self) -> bool:
        """Whether all services are known and followed."""
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
