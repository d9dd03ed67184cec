"""All of kopf: watches of the cluster, kept alive, that feed the cache and the queue.

Only on.event handlers: their errors are lost, and objects deleted during a gap in a stream are never reported. So an
event is a hint; the regular LIST of resync.py is the truth. kopf writes nothing: no annotation, no finalizer, no event.
"""

import asyncio
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from typing import Any

import kopf

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.scope import WHOLE_CLUSTER, Scope
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.login import Credentials
from modelyard.controller.dispatch.workqueue import WorkQueue

CHILD_DELAY_S = 0.1
"""Delay after a change of a child, to batch more of them: a rollout changes Deployment and pods many times a second."""

CHUNK_SIZE = 500
REQUEST_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10

SERVER_TIMEOUT_S = 300
"""Every watch ends after this time and resumes at the version that it had, so that no watch is stuck for longer."""

INACTIVITY_TIMEOUT_S = 70.0
"""A watch that is silent for so long is restarted. The API server sends a bookmark every 60 s."""

LONGEST_BACKOFF_S = 15.0

Login = Callable[[], Awaitable[Credentials]]

logger = logging.getLogger(__name__)


class Backoffs:
    """Waits between the tries of a call, without end: kopf ends the process where they end."""

    def __iter__(self) -> Iterator[float]:
        """Seconds: 1, 2, 4, and so on to the longest."""
        return (min(LONGEST_BACKOFF_S, 2.0**tries) for tries in itertools.chain(range(10), itertools.repeat(10)))


class Watches:
    """The watches of every kind in ``scope``.

    The kinds that every cluster has share one kopf, whose end is the operator's. kopf ends when a kind that it watches
    goes away, so each optional kind has one of its own. ``lost`` is called with an optional kind whose watch ended;
    ``spawned`` each time that a kopf began, which takes the process's signals for itself.
    """

    def __init__(
        self,
        cache: Cache,
        queue: WorkQueue[Key],
        login: Login,
        received: Callable[[Kind], None],
        *,
        scope: Scope = WHOLE_CLUSTER,
        lost: Callable[[Kind], None],
        spawned: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._login = login
        self._received = received
        self._scope = scope
        self._lost = lost
        self._spawned = spawned
        self._stop = asyncio.Event()
        self._optional: dict[Kind, asyncio.Task[None]] = {}

    async def run(self, started: Callable[[], None]) -> None:
        """Watch the kinds that every cluster has until stop(). Raises what else ended it.

        At its end kopf waits for every task that began after this.
        """
        before = asyncio.all_tasks()
        tasks = await self._spawn([kind for kind in kinds.WATCHED if not kind.optional])
        started()
        await kopf.run_tasks(tasks, ignored=before)

    async def stop(self) -> None:
        """End all watches."""
        await self._end(self._optional)
        self._stop.set()

    async def follow(self, served: Collection[Kind], behind: Collection[Kind] = ()) -> None:
        """Watch these of the optional kinds and no others; those that are ``behind`` anew."""
        await self._end([kind for kind in self._optional if kind not in served or kind in behind])
        for kind in served:
            if kind.optional and kind not in self._optional:
                self._optional[kind] = asyncio.create_task(self._watch_optional(kind), name=f"watch of {kind.plural}")

    async def _end(self, ending: Iterable[Kind]) -> None:
        tasks = [self._optional.pop(kind) for kind in [*ending]]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_optional(self, kind: Kind) -> None:
        """Watch until the cluster lacks the kind, or the watch ends for another cause: a LIST finds out which."""
        logger.info("watching an optional kind", extra={"kind": kind.kind})
        error = ""
        try:
            await self._watch_one(kind)
        except Exception as cause:  # noqa: BLE001 # whatever it is, the operator goes on without this kind
            error = str(cause)
        logger.warning("an optional kind is no longer watched", extra={"kind": kind.kind, "because_of": error})
        self._optional.pop(kind, None)
        self._lost(kind)

    async def _watch_one(self, kind: Kind) -> None:
        """Like kopf.run_tasks, which would also cancel all other tasks of the process at its end."""
        tasks = await self._spawn([kind])
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _spawn(self, watched: Collection[Kind]) -> Collection[asyncio.Task[None]]:
        """The identity is ours: kopf's own holds the user's name, which a container's bare user id does not have."""
        tasks = await kopf.spawn_tasks(
            registry=registry(self._cache, self._queue, self._login, self._received, watched),
            settings=settings(),
            clusterwide=self._scope.is_cluster,
            namespaces=self._scope.namespaces,
            stop_flag=self._stop,
            identity=socket.gethostname(),  # type: ignore[arg-type] # a str that kopf gives a name it does not export
        )
        self._spawned()
        return tasks


def settings() -> kopf.OperatorSettings:
    """Kopf's settings: watches and nothing else."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.watching.chunk_size = CHUNK_SIZE
    chosen.watching.server_timeout = SERVER_TIMEOUT_S
    chosen.watching.inactivity_timeout = INACTIVITY_TIMEOUT_S
    chosen.networking.error_backoffs = Backoffs()
    chosen.networking.request_timeout = REQUEST_TIMEOUT_S
    chosen.networking.connect_timeout = CONNECT_TIMEOUT_S
    chosen.networking.trust_env = True
    # Never written with on.event handlers; kopf would otherwise look for the name that all operators share.
    chosen.persistence.finalizer = f"{names.GROUP}/kopf"
    # The kubelet ends a process that does not stop in time.
    chosen.process.ultimate_exiting_timeout = None
    for kind, selector in kinds.WATCHED.items():
        if selector:
            chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
    return chosen


def registry(
    cache: Cache, queue: WorkQueue[Key], login: Login, received: Callable[[Kind], None], watched: Iterable[Kind]
) -> kopf.OperatorRegistry:
    """The handlers: each event goes to the cache, and the services that it concerns to the queue.

    ``received`` is called with the kind of each event.
    """
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login_handler(login))
    for kind in watched:
        handle = _event_handler(kind, cache, queue, received)
        kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers)(handle)
    return handlers


def _event_handler(
    kind: Kind, cache: Cache, queue: WorkQueue[Key], received: Callable[[Kind], None]
) -> Callable[..., Awaitable[None]]:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        received(kind)
        body: Object = dict(event["object"])
        concerned = cache.delete(kind, body) if event["type"] == "DELETED" else cache.upsert(kind, body)
        if kind == kinds.LEASE and concerned:
            about = {"namespace": body["metadata"]["namespace"], "services": len(concerned), "event": event["type"]}
            logger.info("claim changed", extra=about)
        for key in concerned:
            if kind == kinds.INFERENCE_SERVICE:
                queue.add(key)
            else:
                queue.add_after(key, CHILD_DELAY_S)

    return handle


def _login_handler(login: Login) -> Callable[..., Awaitable[kopf.ConnectionInfo]]:
    async def handle(**_: Any) -> kopf.ConnectionInfo:
        """Called at the start, and again when the API server no longer takes the token."""
        credentials = await login()
        return kopf.ConnectionInfo(
            server=credentials.server,
            ca_path=credentials.ca_path,
            token=credentials.token,
            certificate_path=credentials.certificate_path,
            private_key_path=credentials.private_key_path,
            insecure=not credentials.verify_tls,
            trust_env=True,
        )

    return handle
