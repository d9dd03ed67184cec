"""The composition root: makes and wires all parts, starts them in order and stops them in order."""

import asyncio
import logging
import random
import signal
import socket
import uuid
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiohttp import web

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Key, Object, key_of
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.controller import health
from modelyard.controller.autoscaler import loop as autoscaler_loop
from modelyard.controller.autoscaler.loop import Autoscaler
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.fence import Fence
from modelyard.controller.cluster.kubernetes_client import KubernetesCluster
from modelyard.controller.cluster.login import credentials, login
from modelyard.controller.cluster.protocol import ApiError, Cluster, NotFoundError
from modelyard.controller.dispatch import watch
from modelyard.controller.dispatch.leadership import Leadership
from modelyard.controller.dispatch.namespace_claims import ClaimError, Claims
from modelyard.controller.dispatch.resync import Resync
from modelyard.controller.dispatch.workers import Workers
from modelyard.controller.dispatch.workqueue import WorkQueue
from modelyard.controller.loops import Loop
from modelyard.controller.metrics import Metrics
from modelyard.controller.placement import loop as placement_loop
from modelyard.controller.placement.loop import Placement
from modelyard.controller.reconcile.reconciler import Reconciler
from modelyard.integrations.signals import engine_version, fetch_state, node_cache, repository_index
from modelyard.integrations.signals.pod_http import PodClient, Reader
from modelyard.integrations.signals.pod_metrics import PodMetrics
from modelyard.integrations.signals.prometheus_metrics import PrometheusMetrics
from modelyard.scaling.decide import decide

HTTP_PORT = 8080
GRACE_S = 10.0
"""How long running reconciles may take to end after SIGTERM; the pod has 30 s."""

PASSING_WAIT_S = 2.0
"""Time between two attempts to start while the API server is in trouble."""

Right = tuple[str, Kind, str]
"""A verb, a kind and its subresource."""

NEEDED: tuple[Right, ...] = (
    *((verb, kind, "") for kind in kinds.WATCHED for verb in ("list", "watch")),
    *((verb, kind, "") for kind in kinds.OWNED for verb in ("get", "create", "patch", "delete")),
    ("patch", kinds.INFERENCE_SERVICE, "status"),
    ("patch", kinds.INFERENCE_SERVICE, "scale"),
    ("get", kinds.INFERENCE_SERVICE, ""),
    ("patch", kinds.POD, ""),
    ("update", kinds.INFERENCE_SERVICE, "finalizers"),
    ("get", kinds.NAMESPACE, ""),
    ("get", kinds.SERVING_PROFILE, ""),
    ("get", kinds.CSI_NODE, ""),
    ("list", kinds.CORE_EVENT, ""),
    ("create", kinds.EVENT, ""),
)
"""What deploy/base/operator_role.yaml grants and the operator needs: verb, kind, subresource.

No finalizer is ever written: the right to is needed for owner references that block their owner's deletion.
"""

NEEDED_TO_PLACE: tuple[Right, ...] = (("patch", kinds.NODE, ""),)
"""What the same file also grants to an installation for the whole cluster: nodes belong to all."""

NEEDED_AT_HOME: tuple[Right, ...] = tuple((verb, kinds.LEASE, "") for verb in ("get", "create", "update"))
"""What deploy/base/leader_role.yaml grants in the operator's own namespace."""

NEEDED_TO_CLAIM: tuple[Right, ...] = tuple((verb, kinds.LEASE, "") for verb in ("get", "create"))
"""What deploy/overlays/namespaced also grants, in each namespace of an installation that is limited to some."""

logger = logging.getLogger(__name__)


class StartError(Exception):
    """The operator cannot work in this cluster; the message has the remedy."""


async def run(settings: Settings, namespace: str, port: int = HTTP_PORT) -> None:
    """Run the operator, which is installed in ``namespace``, until SIGTERM or SIGINT.

    Raises StartError or LoginError when it cannot start, and RuntimeError when a part ended unexpectedly.
    """
    metrics = Metrics()
    configuration = await login()
    fence = Fence(asyncio.get_running_loop().time)
    identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    cluster = KubernetesCluster(configuration, metrics.called, fence=fence, scope=settings.scope, instance=identity)
    pods = PodClient()
    operator = Operator(
        settings,
        cluster,
        pods,
        metrics,
        fence,
        namespace=namespace,
        identity=identity,
        login=lambda: credentials(configuration),
    )
    endpoint = await _listen(health.endpoint(operator.health, metrics.text), port)
    try:
        await operator.run()
    finally:
        await endpoint.cleanup()
        await pods.close()
        await cluster.close()


class Operator:
    """All parts, wired.

    ``cluster`` writes while ``fence`` is open. ``namespace`` is where the operator is installed, ``identity`` names
    this process, ``login`` gives kopf the credentials of ``cluster``.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        pods: PodClient,
        metrics: Metrics,
        fence: Fence,
        *,
        namespace: str,
        identity: str,
        login: watch.Login,
    ) -> None:
        clock = asyncio.get_running_loop()
        self._settings = settings
        self._cluster = cluster
        self._metrics = metrics
        self._namespace = namespace
        self._stop = asyncio.Event()
        self._cache = Cache()
        self._queue: WorkQueue[Key] = WorkQueue(clock, random.random)
        self.health = health.Health(clock.time, settings.resync_s, self._queue.oldest_age_s)
        self._signals = _signals(settings, pods)
        self._autoscaler = Autoscaler(
            cluster,
            self._cache,
            metrics,
            settings,
            services=self._services,
            signals=self._signals,
            decide=decide,
            wake=self._queue.add,
            now=_now,
        )
        reconciler = Reconciler(
            settings,
            cluster,
            self._cache,
            read_fetch_state=Reader(partial(fetch_state.read, pods)).read,
            read_index=Reader(partial(repository_index.read, pods)).read,
            read_version=Reader(partial(engine_version.read, pods)).read,
            scaling_report=self._autoscaler.report_of,
            now=_now,
            instance=socket.gethostname(),
        )
        self._claims = Claims(
            self._cache,
            installation=settings.installation or namespace,
            scope=settings.scope,
            settle_s=settings.claim_settle_s,
            now=_now,
        )
        placement = Placement(
            cluster,
            self._cache,
            metrics,
            namespace=namespace,
            services=self._services,
            read=partial(node_cache.read, pods),
            now_s=clock.time,
        )
        label_nodes = Loop(
            "placement",
            placement.round,
            interval_s=placement_loop.INTERVAL_S,
            limit_s=placement_loop.ROUND_LIMIT_S,
            is_leading=lambda: self._leadership.is_held,
            metrics=metrics,
        )
        scale = Loop(
            "autoscaler",
            self._autoscaler.round,
            interval_s=settings.scaling_interval_s,
            limit_s=autoscaler_loop.ROUND_LIMIT_S,
            is_leading=lambda: self._leadership.is_held,
            metrics=metrics,
        )
        self._loops = [scale, label_nodes] if settings.scope.is_cluster else [scale]
        self._workers = Workers(self._queue, self._admit, reconciler.reconcile, metrics)
        self._leadership = Leadership(
            cluster,
            fence,
            namespace=namespace,
            identity=identity,
            gained=self._queue_all,
            lost=self._interrupt,
            now_s=clock.time,
            now=_now,
            random=random.random,
        )
        self._watches = watch.Watches(
            self._cache,
            self._queue,
            login,
            metrics.event_received,
            scope=settings.scope,
            lost=self._lost,
            spawned=self._take_signals,
        )
        self._resync = Resync(cluster, self._cache, self._queue, self._resynced, random=random.random)
        metrics.watch_queue(lambda: len(self._queue), self._queue.oldest_age_s)
        metrics.watch_leadership(lambda: self._leadership.is_held)
        metrics.watch_services(self._services)
        metrics.watch_scaling(self._autoscaler.figures)

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT. Raises StartError, or RuntimeError when a part ended unexpectedly."""
        await self._sync()
        writing = [
            asyncio.create_task(self._leadership.forever(), name="leadership"),
            *(asyncio.create_task(loop.forever(), name=f"loop {loop.name}") for loop in self._loops),
        ]
        parts: list[asyncio.Task[Any]] = [
            *writing,
            asyncio.create_task(self._workers.run(self._settings.workers), name="workers"),
            asyncio.create_task(self._resync.forever(self._settings.resync_s), name="resync"),
            asyncio.create_task(self._stop.wait(), name="wait for a signal"),
            asyncio.create_task(self._watches.run(self.health.watching), name="watches"),
        ]
        logger.info("started", extra={"services": len(self._services())})
        ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        await self._workers.stop(GRACE_S)
        for part in writing:
            part.cancel()
        await asyncio.wait(writing)
        await self._leadership.release()
        for signals in self._signals.values():
            await signals.close()
        await self._watches.stop()
        for part in parts[:-1]:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        if not self._stop.is_set():
            [part, *_] = ended
            raise RuntimeError(f"the {part.get_name()} ended") from part.exception()
        logger.info("stopped")

    def _take_signals(self) -> None:
        """Take the signals back from kopf, so that workers end before watches do."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    async def _resynced(self, behind: frozenset[Kind]) -> None:
        self.health.resynced(behind)
        self._metrics.resynced()
        await self._watches.follow(kinds.WATCHED.keys() - self._cache.absent_kinds, behind)

    def _lost(self, kind: Kind) -> None:
        """The cluster no longer has an optional kind."""
        self._cache.lose(kind)
        self._queue_all()

    def _services(self) -> tuple[Object, ...]:
        """The services that this installation writes."""
        services = self._cache.all_of(kinds.INFERENCE_SERVICE)
        return tuple(body for body in services if self._claims.wait_s(key_of(body).namespace) is not None)

    def _queue_all(self) -> None:
        for body in self._services():
            self._queue.add(key_of(body))

    def _interrupt(self) -> None:
        """Stop at once everything that may write: another process may lead in a moment."""
        self._workers.interrupt()
        for loop in self._loops:
            loop.interrupt()
        self._autoscaler.forget()

    def _admit(self, key: Key) -> float | None:
        """In how many seconds to reconcile a service; None in a standby, and where another installation has a claim."""
        return self._claims.wait_s(key.namespace) if self._leadership.is_held else None

    async def _sync(self) -> None:
        """Fill the cache as soon as the API server answers. Raises StartError where waiting does not help."""
        while True:
            try:
                await self._check_permissions()
                await self._claims.take(self._cluster)
                return await self._resync.first()
            except ClaimError as error:
                raise StartError(str(error)) from error
            except NotFoundError as error:
                raise StartError(
                    f"the API server lacks a kind that the operator needs: {error}. Where it is one of {names.GROUP}, "
                    "install the CRDs: kubectl apply --server-side -f crds/"
                ) from error
            except ApiError as error:
                if not error.is_passing:
                    raise
                logger.warning("the API server does not answer yet", extra={"error": str(error)})
                await asyncio.sleep(PASSING_WAIT_S)

    async def _check_permissions(self) -> None:
        """Raise StartError with every permission that the operator lacks."""
        leader_lease = Key(self._namespace, names.LEADER_LEASE)
        claims = [Key(namespace, names.CLAIM_LEASE) for namespace in self._settings.scope.namespaces]
        required: list[tuple[Right, Key | None]] = [
            *((right, None) for right in NEEDED),
            *((right, None) for right in NEEDED_TO_PLACE if self._settings.scope.is_cluster),
            *((right, leader_lease) for right in NEEDED_AT_HOME),
            *((right, claim) for claim in claims for right in NEEDED_TO_CLAIM),
        ]
        answers = await asyncio.gather(*(self._cluster.may(*right, place) for right, place in required))
        missing = [
            _described(*permission) for permission, allowed in zip(required, answers, strict=True) if not allowed
        ]
        if missing:
            raise StartError(f"the operator may not {', '.join(missing)}. Apply deploy/, which holds its roles.")


def _signals(settings: Settings, pods: PodClient) -> dict[str, PodMetrics | PrometheusMetrics]:
    """The sources of engines' metrics, by their names in spec.scaling.source."""
    found: dict[str, PodMetrics | PrometheusMetrics] = {
        "Pods": PodMetrics(pods, interval_s=settings.scaling_interval_s)
    }
    if settings.prometheus:
        found["Prometheus"] = PrometheusMetrics(settings.prometheus, pods)
    return found


def _described(right: Right, place: Key | None) -> str:
    verb, kind, subresource = right
    where = f" {place.name} in {place.namespace}" if place else ""
    return f"{verb} {kind.plural}{f'/{subresource}' if subresource else ''}{where}"


def _now() -> datetime:
    return datetime.now(UTC)


async def _listen(application: web.Application, port: int) -> web.AppRunner:
    # A connection that is kept open would hold up the end of kopf, which waits for every task.
    runner = web.AppRunner(application, access_log=None, handle_signals=False, keepalive_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
