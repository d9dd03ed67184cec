"""The composition root: what there is, how it hangs together, how it starts and how it stops."""

import asyncio
import logging
import random
import signal
import socket
from datetime import UTC, datetime
from typing import Any

import kopf
from aiohttp import web

from modelyard import health, kinds, names, watch
from modelyard.api.service import Key, Object
from modelyard.cache import Cache
from modelyard.cluster import (
    Cluster,
    KubernetesCluster,
    NotFoundError,
    UnreachableError,
    credentials,
    login,
)
from modelyard.kinds import Kind
from modelyard.metrics import Metrics
from modelyard.reconcile import Reconciler
from modelyard.resync import Resync
from modelyard.settings import Settings
from modelyard.signals import bounded_http, fetch_state, repository_index
from modelyard.workers import Workers
from modelyard.workqueue import WorkQueue

HTTP_PORT = 8080
GRACE_S = 10.0
"""How long reconciles in work may go on once the process is told to stop; the pod has 30 s."""

UNREACHABLE_WAIT_S = 2.0

NEEDED = (
    *((verb, kind, "") for kind in kinds.WATCHED for verb in ("list", "watch")),
    *((verb, kind, "") for kind in kinds.CHILDREN for verb in ("get", "create", "patch", "delete")),
    ("patch", kinds.INFERENCE_SERVICE, "status"),
    ("update", kinds.INFERENCE_SERVICE, "finalizers"),
    ("get", kinds.NAMESPACE, ""),
    ("get", kinds.SERVING_PROFILE, ""),
    ("list", kinds.CORE_EVENT, ""),
    ("create", kinds.EVENT, ""),
)
"""What deploy/base/operator_role.yaml allows and the operator cannot do without: verb, kind, subresource.

Finalizers are never written: the right to is what an owner reference that blocks its owner's deletion takes.
"""

logger = logging.getLogger(__name__)


class StartError(Exception):
    """The operator cannot work in this cluster; the message says what to do."""


async def run(settings: Settings, port: int = HTTP_PORT) -> None:
    """Run the operator until the process is told to stop.

    Raises StartError or LoginError when it cannot start, and RuntimeError when a part ended that should have gone on.
    """
    metrics = Metrics()
    configuration = await login()
    cluster = KubernetesCluster(configuration, metrics.called)
    operator = Operator(settings, cluster, metrics, login=lambda: credentials(configuration))
    endpoint = await _listen(health.endpoint(operator.health, metrics.text), port)
    try:
        await operator.run()
    finally:
        await endpoint.cleanup()
        await cluster.close()


class Operator:
    """All parts, wired. ``login`` gives kopf the credentials of ``cluster``."""

    def __init__(self, settings: Settings, cluster: Cluster, metrics: Metrics, *, login: watch.Login) -> None:
        clock = asyncio.get_running_loop()
        self._settings = settings
        self._cluster = cluster
        self._login = login
        self._cache = Cache()
        self._queue: WorkQueue[Key] = WorkQueue(clock, random.random)
        self.health = health.Health(clock.time, settings.resync_s, self._queue.oldest_age_s)
        reconciler = Reconciler(
            settings,
            cluster,
            self._cache,
            read_fetch_state=bounded_http.Reader(fetch_state.read).read,
            read_index=bounded_http.Reader(repository_index.read).read,
            now=lambda: datetime.now(UTC),
            instance=socket.gethostname(),
        )
        self._workers = Workers(self._queue, reconciler.reconcile, metrics)

        def resynced(behind: frozenset[Kind]) -> None:
            self.health.resynced(behind)
            metrics.resynced()

        self._resync = Resync(cluster, self._cache, self._queue, resynced, random=random.random)
        metrics.watch_queue(lambda: len(self._queue), self._queue.oldest_age_s)
        metrics.watch_services(self._services)

    async def run(self) -> None:
        """Work until the process is told to stop. Raises StartError, or RuntimeError when a part ended by itself."""
        await _sync(self._cluster, self._resync)
        stop, stop_watches = asyncio.Event(), asyncio.Event()
        parts = [
            asyncio.create_task(self._workers.run(self._settings.workers), name="workers"),
            asyncio.create_task(self._resync.forever(self._settings.resync_s), name="resync"),
            asyncio.create_task(stop.wait(), name="wait for a signal"),
        ]
        parts.append(await self._watches(stop_watches))
        # kopf took the signals for itself, but workers shall end before watches do.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self.health.watching()
        logger.info("started", extra={"services": len(self._services())})
        ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        await self._workers.stop(GRACE_S)
        stop_watches.set()
        for part in parts[:-1]:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        if not stop.is_set():
            [part, *_] = ended
            raise RuntimeError(f"the {part.get_name()} ended") from part.exception()
        logger.info("stopped")

    async def _watches(self, stop: asyncio.Event) -> asyncio.Task[Any]:
        """Start kopf. At its end it cancels every task that began after this.

        It is told who it is: it would ask for the user's name, which a container's bare user id does not have.
        """
        before = asyncio.all_tasks()
        parts = await kopf.spawn_tasks(
            registry=watch.registry(self._cache, self._queue, self._login),
            settings=watch.settings(),
            clusterwide=True,
            stop_flag=stop,
            identity=socket.gethostname(),  # type: ignore[arg-type] # a str that kopf gives a name it does not export
        )
        return asyncio.create_task(kopf.run_tasks(parts, ignored=before), name="watches")

    def _services(self) -> tuple[Object, ...]:
        return self._cache.all_of(kinds.INFERENCE_SERVICE)


async def _sync(cluster: Cluster, resync: Resync) -> None:
    """Fill the cache, once the API server answers. Raises StartError when it never will as it should."""
    while True:
        try:
            missing = await _missing_permissions(cluster)
            if missing:
                raise StartError(f"the operator may not {', '.join(missing)}. Apply deploy/, which holds its role.")
            return await resync.first()
        except NotFoundError as error:
            raise StartError(
                f"the API server does not know {names.PLURAL} or {names.PROFILE_PLURAL} of {names.GROUP} ({error}). "
                "Install the CRDs: kubectl apply --server-side -f crds/"
            ) from error
        except UnreachableError as error:
            logger.warning("the API server does not answer yet", extra={"error": str(error)})
            await asyncio.sleep(UNREACHABLE_WAIT_S)


async def _missing_permissions(cluster: Cluster) -> list[str]:
    answers = await asyncio.gather(*(cluster.may(*needed) for needed in NEEDED))
    return [
        f"{verb} {kind.plural}{f'/{subresource}' if subresource else ''}"
        for (verb, kind, subresource), allowed in zip(NEEDED, answers, strict=True)
        if not allowed
    ]


async def _listen(application: web.Application, port: int) -> web.AppRunner:
    # A connection that is kept open would hold up the end of kopf, which waits for every task.
    runner = web.AppRunner(application, access_log=None, handle_signals=False, keepalive_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
