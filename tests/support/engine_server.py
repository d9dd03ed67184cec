"""Pods with engines, on the loopback: each serves its pages by path, and counts what came."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from aiohttp import web

from modelyard.integrations.engines.metrics import EngineMetrics
from modelyard.integrations.signals.engine_pod import EnginePod


@dataclass
class EngineServer:
    """``pages`` are its answers by path; ``paths`` of the requests that came, ``connections`` the number of their
    connections.
    """

    pages: dict[str, bytes]
    port: int = 0
    paths: list[str] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)

    def pod(self, metrics: EngineMetrics, uid: str = "uid-1") -> EnginePod:
        """The pod that this server is."""
        return engine_pod(metrics, self.port, uid)

    async def answer(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.connections.add(request.transport)
        page = self.pages.get(request.path)
        return web.Response(body=page) if page is not None else web.Response(status=404)


def engine_pod(metrics: EngineMetrics, port: int, uid: str = "uid-1", ip: str = "127.0.0.1") -> EnginePod:
    """A pod whose engine serves everything on ``port``."""
    models = metrics.decoupled_models
    here = replace(metrics, port=port, decoupled_models=replace(models, port=port) if models else None)
    return EnginePod("team", f"chat-{uid}", uid, ip, here)


@asynccontextmanager
async def serving(pages: Mapping[str, bytes]) -> AsyncIterator[EngineServer]:
    """A pod's server."""
    server = EngineServer(dict(pages))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await asyncio.shield(runner.cleanup())
