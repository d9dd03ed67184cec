"""The routes of vLLM's server that an operator or a client of a served model meets."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import reduce

from . import bodies
from .completions import CHAT_PATH, Completions, Refused, Served
from .controls import Controls
from .engine import Engine
from .exposition import Metrics
from .http_server import Request, Response
from .other_names import Rewrite, of_v0, renamed
from .process_metrics import refresh_process

METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8"
UNCOUNTED = ("/metrics", "/health", "/load", "/ping", "/version", "/server_info", "/standin")
"""vLLM leaves every path out of its HTTP metrics that has one of these in it (/healthz too), besides our own."""
GUARDED = ("/v1", "/v2", "/inference", "/cohere")
"""What --api-key protects; health, metrics and the rest stay open."""


class Api:
    def __init__(
        self,
        served: Served,
        engine: Engine,
        metrics: Metrics,
        api_keys: tuple[str, ...],
        controls: Controls,
    ) -> None:
        self._served = served
        self._engine = engine
        self._metrics = metrics
        self._api_keys = api_keys
        self._rewrite = _rewrite(controls)
        self._metrics_delay_s = controls.metrics_delay_s
        self._metrics_answer = asyncio.Event()
        if controls.metrics == "answered":
            self._metrics_answer.set()
        self._completions = completions = Completions(served, engine)
        self._routes: dict[str, dict[str, Callable[[Request], Awaitable[Response]]]] = {
            "/health": {"GET": self._health},
            "/ping": {"GET": self._health, "POST": self._health},
            "/version": {"GET": self._version},
            "/load": {"GET": self._load},
            "/metrics": {"GET": self._exposition},
            "/kv_event_sources": {"GET": self._kv_event_sources},
            "/v1/models": {"GET": self._models},
            "/v1/completions": {"POST": completions.answer},
            CHAT_PATH: {"POST": completions.answer},
            "/standin/kill_engine": {"POST": self._kill_engine},
            "/standin/silence_metrics": {"POST": self._silence_metrics},
            "/standin/answer_metrics": {"POST": self._answer_metrics},
        }

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(self._routes)

    async def answer(self, request: Request) -> Response:
        if self._api_keys and request.path.startswith(GUARDED) and not self._is_authorized(request):
            return _json({"error": "Unauthorized"}, 401)
        methods = self._routes.get(request.path)
        if methods is None:
            return _json({"detail": "Not Found"}, 404)
        if request.method not in methods:
            return Response(405, bodies.text({"detail": "Method Not Allowed"}), headers={"allow": ", ".join(methods)})
        try:
            return await methods[request.method](request)
        except Refused as refused:
            return _json(refused.body, refused.body["error"]["code"])

    def count(self, request: Request, response: Response, took_s: float) -> None:
        """Measures an answered request as vLLM's HTTP metrics do."""
        if any(part in request.path for part in UNCOUNTED):
            return
        handler = request.path if request.method in self._routes.get(request.path, ()) else "none"
        metrics, method, status = self._metrics, request.method, f"{response.status // 100}xx"
        metrics.use(time.time(), handler=handler, method=method, status=status)
        metrics.add("http_requests_total", handler=handler, method=method, status=status)
        metrics.observe("http_request_size_bytes", len(request.body), handler=handler)
        metrics.observe("http_response_size_bytes", len(response.body), handler=handler)
        metrics.observe("http_request_duration_highr_seconds", took_s)
        metrics.observe("http_request_duration_seconds", took_s, handler=handler, method=method)

    def _is_authorized(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and key in self._api_keys

    async def _health(self, _: Request) -> Response:
        return Response(503 if self._engine.state == "dead" else 200, content_type=None)

    async def _version(self, _: Request) -> Response:
        return _json(bodies.version())

    async def _load(self, _: Request) -> Response:
        return _json({"server_load": self._completions.load})

    async def _kv_event_sources(self, _: Request) -> Response:
        return _json({})

    async def _exposition(self, _: Request) -> Response:
        await self._metrics_answer.wait()
        await asyncio.sleep(self._metrics_delay_s)
        self._engine.refresh_gauges()
        refresh_process(self._metrics)
        return Response(body=self._rewrite(self._metrics.text()).encode(), content_type=METRICS_TYPE)

    async def _models(self, _: Request) -> Response:
        served = self._served
        return _json(bodies.models(served.names, served.root, served.max_model_tokens, int(time.time())))

    async def _kill_engine(self, _: Request) -> Response:
        """The stand-in's own route: what `kill -9` of the core process is for the real engine."""
        self._engine.die()
        return _json({})

    async def _silence_metrics(self, _: Request) -> Response:
        self._metrics_answer.clear()
        return _json({})

    async def _answer_metrics(self, _: Request) -> Response:
        self._metrics_answer.set()
        return _json({})


def _rewrite(controls: Controls) -> Rewrite:
    """What the controls make of the recorded names."""
    steps: list[Rewrite] = [of_v0] if controls.metric_names == "v0" else []
    if controls.renamed_metric:
        steps.append(renamed(*controls.renamed_metric.split("=")))
    return lambda text: reduce(lambda text, step: step(text), steps, text)


def _json(body: bodies.Body, status: int = 200) -> Response:
    return Response(status, bodies.text(body))
