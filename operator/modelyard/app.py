"""The composition root: what there is, how it hangs together, how it starts and how it stops."""

import asyncio
import logging
import random
import signal
import socket
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import kopf
from aiohttp import web

from modelyard import health, kinds, names, watch
from modelyard.api.service import Key
from modelyard.cache import Cache
from modelyard.cluster import (
    Cluster,
    Credentials,
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
from modelyard.signals import fetch_state
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
    ("list", kinds.CORE_EVENT, ""),
    ("create", kinds.EVENT, ""),
)
"""What deploy/base/operator_role.yaml allows and the operator cannot do without: verb, kind, subresource."""

logger = logging.getLogger(__name__)


class StartError(Exception):
    """The operator cannot work in this cluster; the message says what to do."""


async def run(settings: Settings, port: int = HTTP_PORT) -> None:
    """Run the operator until the process is told to stop.

    Raises StartError or LoginError when it cannot start, and whatever ended a part that should have gone on.
    """
    metrics = Metrics()
    configuration = await login()
    cluster = KubernetesCluster(configuration, metrics.called)
    try:
        await _run(settings, cluster, metrics, login=lambda: credentials(configuration), port=port)
    finally:
        await cluster.close()


async def _run(
    settings: Settings,
    cluster: Cluster,
    metrics: Metrics,
    *,
    login: Callable[[], Coroutine[Any, Any, Credentials]],
    port: int,
) -> None:
    loop = asyncio.get_running_loop()
    cache = Cache()
    queue: WorkQueue[Key] = WorkQueue(loop, random.random)
    vitals = health.Health(loop.time, settings.resync_s, queue.oldest_age_s)
    reconciler = Reconciler(
        settings,
        cluster,
        cache,
        read_fetch_state=fetch_state.read,
        now=lambda: datetime.now(UTC),
        instance=socket.gethostname(),
    )
    workers = Workers(queue, reconciler.reconcile, metrics)

    def resynced(behind: frozenset[Kind]) -> None:
        vitals.resynced(behind)
        metrics.resynced()

    resync = Resync(cluster, cache, queue, resynced, random=random.random)
    metrics.watch_queue(lambda: len(queue), queue.oldest_age_s)
    metrics.watch_services(lambda: cache.all_of(kinds.INFERENCE_SERVICE))

    endpoint = await _listen(health.endpoint(vitals, metrics.text), port)
    try:
        await _sync(cluster, resync)
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(workers.run(settings.workers), name="workers"),
            asyncio.create_task(resync.forever(settings.resync_s), name="resync"),
            asyncio.create_task(stop.wait(), name="stop"),
        ]
        stop_watching = asyncio.Event()
        watching = await _watch(cache, queue, login, stop_watching)
        # kopf took the signals for itself; but the workers must end before the watches do.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        vitals.watching()
        logger.info("started", extra={"services": len(cache.all_of(kinds.INFERENCE_SERVICE))})
        try:
            ended, _ = await asyncio.wait([*tasks, watching], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await workers.stop(GRACE_S)
            stop_watching.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, watching, return_exceptions=True)
        _raise_early_end(ended, stop)
        logger.info("stopped")
    finally:
        await endpoint.cleanup()


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
                f"the API server does not know {names.PLURAL}.{names.GROUP} ({error}). "
                "Install the CRD: kubectl apply --server-side -f crds/"
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


async def _watch(cache: Cache, queue: WorkQueue[Key], login: watch.Login, stop: asyncio.Event) -> asyncio.Task[None]:
    """Start kopf. At its end it cancels every task that began after this."""
    before = asyncio.all_tasks()
    parts = await kopf.spawn_tasks(
        registry=watch.registry(cache, queue, login), settings=watch.settings(), clusterwide=True, stop_flag=stop
    )
    return asyncio.create_task(kopf.run_tasks(parts, ignored=before), name="watches")


async def _listen(application: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner


def _raise_early_end(ended: set[asyncio.Task[Any]], stop: asyncio.Event) -> None:
    """Raise what ended a part that should have gone on, unless the process was told to stop."""
    for task in ended:
        if not stop.is_set():
            raise RuntimeError(f"the operator's {task.get_name()} ended") from task.exception()
