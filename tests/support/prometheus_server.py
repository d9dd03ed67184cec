"""A Prometheus on the loopback, as far as its API for instant queries goes."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from modelyard.integrations.signals.metrics_page import PageLabels, page_label

QUERY = re.compile(r'\{__name__=~"([^"]*)"(?:,namespace=~"([^"]*)")?\}\[(\d+)ms\]')
SAMPLE = re.compile(rb"^([a-z_0-9:]+)(?:\{([^\n]*)\})? (\S+)$", re.MULTILINE)


@dataclass
class Sample:
    """A sample of a series, with its labels."""

    labels: dict[str, str]
    value: str
    time_s: float


@dataclass
class PrometheusServer:
    """``samples`` are in the order of their times. ``status`` and ``text`` are sent in place of a result."""

    now_s: float
    samples: list[Sample] = field(default_factory=list)
    status: int = 200
    text: str | None = None
    location: str = ""
    delay: asyncio.Event | None = None
    token: str | None = None
    url: str = ""
    queries: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    def scrape(self, page: bytes, time_s: float, **target: str) -> None:
        """Add the samples of a page, scraped from a target with these labels."""
        for name, labels, value in SAMPLE.findall(page):
            self.samples.append(
                Sample({"__name__": name.decode(), **_labels(labels), **target}, value.decode(), time_s)
            )

    async def handle(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers)
        if self.delay is not None:
            await self.delay.wait()
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="Unauthorized")
        if self.text is not None:
            return web.Response(status=self.status, text=self.text, headers={"Location": self.location})
        if request.path != "/api/v1/query":
            return web.Response(status=404, text="404 page not found")
        self.queries.append(request.query["query"])
        return web.Response(text=json.dumps(self._result(request.query["query"])), content_type="application/json")

    def _result(self, query: str) -> dict[str, Any]:
        match = QUERY.fullmatch(query)
        assert match, query
        names, namespaces, window_ms = match.groups()
        found: dict[str, dict[str, Any]] = {}
        for sample in self.samples:
            if not re.fullmatch(names, sample.labels["__name__"]):
                continue
            if namespaces is not None and not re.fullmatch(namespaces, sample.labels.get("namespace", "")):
                continue
            if self.now_s - int(window_ms) / 1000 < sample.time_s <= self.now_s:
                series = found.setdefault(repr(sorted(sample.labels.items())), {"metric": sample.labels, "values": []})
                series["values"].append([sample.time_s, sample.value])
        return {"status": "success", "data": {"resultType": "matrix", "result": list(found.values())}}


def _labels(labels: PageLabels) -> dict[str, str]:
    names = re.findall(rb"(?:^|,)(\w+)=", labels)
    return {name.decode(): page_label(labels, name.decode()) or "" for name in names}


@asynccontextmanager
async def prometheus(now_s: float, tls: ssl.SSLContext | None = None) -> AsyncIterator[PrometheusServer]:
    """The server, at ``url``."""
    server = PrometheusServer(now_s)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await asyncio.shield(runner.cleanup())
