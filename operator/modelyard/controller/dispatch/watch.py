"""All of kopf: streams of what changes in the cluster, kept alive, that feed the cache and the queue.

Only on.event handlers: their errors are lost, and after a gap in a stream nobody tells of what was deleted in it. So an
event is a hint; the regular LIST of resync.py is the truth. kopf writes nothing: no annotation, no finalizer, no event.
"""

import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import kopf

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.login import Credentials
from modelyard.controller.dispatch.workqueue import WorkQueue

CHILD_DELAY_S = 0.1
"""A change of a child waits so long for more of its kind: a rollout changes Deployment and pods many times a second."""

CHUNK_SIZE = 500
REQUEST_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10

SERVER_TIMEOUT_S = 300
"""Every watch ends after this time and goes on from the version that it had, so that none is stuck for longer."""

INACTIVITY_TIMEOUT_S = 70.0
"""A watch that says nothing for so long is begun anew. The API server sends a bookmark every 60 s."""

LONGEST_BACKOFF_S = 15.0

Login = Callable[[], Awaitable[Credentials]]

logger = logging.getLogger(__name__)


class Backoffs:
    """Waits between the tries of a call, without end: kopf ends the process where they end."""

    def __iter__(self) -> Iterator[float]:
        """Seconds: 1, 2, 4, and so on to the longest."""
        return (min(LONGEST_BACKOFF_S, 2.0**tries) for tries in itertools.chain(range(10), itertools.repeat(10)))


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


def registry(cache: Cache, queue: WorkQueue[Key], login: Login, heard: Callable[[Kind], None]) -> kopf.OperatorRegistry:
    """The handlers: each event goes to the cache, and the services that it concerns to the queue.

    ``heard`` is told of the kind of each event.
    """
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login_handler(login))
    for kind in kinds.WATCHED:
        handle = _event_handler(kind, cache, queue, heard)
        kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers)(handle)
    return handlers


def _event_handler(
    kind: Kind, cache: Cache, queue: WorkQueue[Key], heard: Callable[[Kind], None]
) -> Callable[..., Awaitable[None]]:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        heard(kind)
        body: Object = dict(event["object"])
        concerned = cache.delete(kind, body) if event["type"] == "DELETED" else cache.upsert(kind, body)
        if kind == kinds.LEASE and concerned:
            said = {"namespace": body["metadata"]["namespace"], "services": len(concerned), "event": event["type"]}
            logger.info("claim changed", extra=said)
        for key in concerned:
            if kind == kinds.INFERENCE_SERVICE:
                queue.add(key)
            else:
                queue.add_after(key, CHILD_DELAY_S)

    return handle


def _login_handler(login: Login) -> Callable[..., Awaitable[kopf.ConnectionInfo]]:
    async def handle(**_: Any) -> kopf.ConnectionInfo:
        """Called at the start, and again when the API server no longer takes the token."""
        found = await login()
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_path,
            token=found.token,
            certificate_path=found.certificate_path,
            private_key_path=found.private_key_path,
            insecure=not found.verify_tls,
            trust_env=True,
        )

    return handle
