"""Leader election by a Lease, as client-go does it: only the holder writes.

Clocks of different processes are never compared. To an observer, a Lease has expired when it has not changed for its
own duration on the observer's clock; the holder counts from before it sent the renewal, and so stops earlier.

A process that loses the Lease becomes a standby rather than ending: its cache is warm, and an API server that was away
for some seconds does not get the full LISTs of every replica at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.fence import Fence
from modelyard.controller.cluster.protocol import ApiError, ConflictError, Leases

DURATION_S = 10.0
"""How long after the last observed change of the Lease another process takes it."""

RENEW_DEADLINE_S = 6.0
"""How long after the last renewal the holder may begin a write. Then it gives up, though a renewal may yet succeed."""

END_OF_WRITES_S = DURATION_S - 1.0
"""How long after the last renewal the holder waits for the answers to its writes."""

RETRY_S = 2.0
"""Time between two reads or renewals, and the longest time of each call."""

logger = logging.getLogger(__name__)


class Step(Enum):
    """What to do about a Lease."""

    TAKE = auto()
    RENEW = auto()
    WAIT = auto()


@dataclass(frozen=True)
class Observation:
    """A Lease (None: there is none) and since when, on the observer's clock, it has been like this."""

    lease: Object | None
    since_s: float


def observed(before: Observation | None, lease: Object | None, now_s: float) -> Observation:
    """The observation after another read: time counts from the first read that saw this content."""
    same = before is not None and lease is not None and _content(before.lease) == _content(lease)
    return Observation(lease, before.since_s if before is not None and same else now_s)


def decide(seen: Observation, now_s: float, identity: str) -> tuple[Step, float]:
    """What the process ``identity`` does about a Lease, and in how many seconds it reads it again."""
    content = _content(seen.lease)
    holder = content.get("holderIdentity") or ""
    if holder == identity:
        return Step.RENEW, RETRY_S
    left_s = seen.since_s + (content.get("leaseDurationSeconds") or DURATION_S) - now_s
    if not holder or left_s <= 0:
        return Step.TAKE, RETRY_S
    return Step.WAIT, min(RETRY_S, left_s)


class Leadership:
    """Takes and renews the Lease names.LEADER_LEASE in ``namespace``, and opens ``fence`` while it holds it.

    ``identity`` must be another one for each process; it begins with the pod's name. ``gained`` and ``lost`` are called
    when that happens; ``lost`` before another process can have the Lease, unless this one is frozen. ``gained`` comes
    alone after a renewal so late that nothing could be written for a moment. ``now_s`` is the
    fence's clock, ``now`` the wall clock for people who look at the Lease, ``random`` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        leases: Leases,
        fence: Fence,
        *,
        namespace: str,
        identity: str,
        gained: Callable[[], None],
        lost: Callable[[], None],
        now_s: Callable[[], float],
        now: Callable[[], datetime],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._leases = leases
        self._fence = fence
        self._place = Key(namespace, names.LEADER_LEASE)
        self._identity = identity
        self._gained = gained
        self._lost = lost
        self._now_s = now_s
        self._now = now
        self._random = random
        self._sleep = sleep
        self._seen: Observation | None = None
        self._renewed_at_s: float | None = None
        self._must_read = True

    @property
    def is_held(self) -> bool:
        """Whether this process may write now."""
        return self._fence.time_left_s > 0

    async def forever(self) -> None:
        """Hold the Lease whenever no other process does."""
        while True:
            began_s = self._now_s()
            wait_s = await self._try_once()
            if self._renewed_at_s is not None and self._now_s() >= self._renewed_at_s + RENEW_DEADLINE_S:
                self._give_up("it could not be renewed in time")
            jitter = 1.0 if self._renewed_at_s is not None else 1.0 + self._random() / 5
            await self._sleep(max(0.0, began_s + wait_s * jitter - self._now_s()))

    async def release(self) -> None:
        """Release the Lease, so that another process need not wait until it expires. Call when no write is running."""
        self._give_up("it is released")
        try:
            async with asyncio.timeout(RENEW_DEADLINE_S):
                while not await self._release_once():
                    pass
        except (ApiError, TimeoutError) as error:
            logger.warning("the Lease could not be released", extra={"error": str(error)})

    async def _release_once(self) -> bool:
        """Release the Lease if it is ours as it is stored now: a renewal that was cut off may yet be written.

        False when it changed meanwhile.
        """
        lease = await self._leases.get(kinds.LEASE, self._place)
        if lease is None or _content(lease).get("holderIdentity") != self._identity:
            return True
        content = {name: value for name, value in lease["spec"].items() if name != "holderIdentity"}
        try:
            await self._leases.replace_lease({**lease, "spec": content | {"leaseDurationSeconds": 1}})
        except ConflictError:
            return False
        return True

    async def _try_once(self) -> float:
        """Read the Lease, and take or renew it. Returns in how many seconds to do so again."""
        began_s = self._now_s()
        try:
            async with asyncio.timeout(RETRY_S):
                if self._must_read:
                    lease = await self._leases.get(kinds.LEASE, self._place)
                    self._seen = observed(self._seen, lease, self._now_s())
                assert self._seen is not None, "the first look is never left out"
                self._must_read = True  # unless the answer to our own write shows what is stored
                step, wait_s = decide(self._seen, began_s, self._identity)
                if step is Step.WAIT:
                    self._give_up("another process has it")
                    return wait_s
                written = await self._write(self._seen.lease)
        except ConflictError:
            return RETRY_S / 4  # another process wrote: read it
        except (ApiError, TimeoutError) as error:
            message = str(error) or f"no answer within {RETRY_S:g} s"
            logger.warning("the Lease cannot be reached", extra={"error": message})
            return RETRY_S
        self._seen = observed(self._seen, written, self._now_s())
        self._must_read = False
        self._hold(began_s)
        return wait_s

    async def _write(self, before: Object | None) -> Object:
        """The Lease, ours from now on. Raises ConflictError when it is no longer as it was seen."""
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = _content(before)
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION_S),
            "renewTime": stamp,
            "acquireTime": stamp,
            "leaseTransitions": old.get("leaseTransitions", 0),
        }
        if before is None:
            metadata = {"name": self._place.name, "namespace": self._place.namespace}
            kind = {"apiVersion": kinds.LEASE.api_version, "kind": kinds.LEASE.kind}
            return await self._leases.create_lease({**kind, "metadata": metadata, "spec": spec})
        if old.get("holderIdentity") == self._identity:
            spec["acquireTime"] = old.get("acquireTime", stamp)
        else:
            spec["leaseTransitions"] += 1
        return await self._leases.replace_lease({**before, "spec": spec})

    def _hold(self, began_s: float) -> None:
        was_held = self.is_held  # time alone may have ended that, and then keys were turned away
        self._renewed_at_s = began_s
        self._fence.open(began_s + RENEW_DEADLINE_S, began_s + END_OF_WRITES_S)
        if not was_held:
            logger.info("leading", extra={"identity": self._identity})
            self._gained()

    def _give_up(self, why: str) -> None:
        self._fence.close()
        if self._renewed_at_s is None:
            return
        self._renewed_at_s = None
        logger.info("no longer leading", extra={"identity": self._identity, "because_of": why})
        self._lost()


def _content(lease: Object | None) -> Object:
    content: Object = (lease or {}).get("spec") or {}
    return content
