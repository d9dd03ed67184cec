"""Reports a service's state to its users: writes its status and creates its events."""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster, ConflictError, NotFoundError
from modelyard.controller.reconcile.decide import Done, Plan, outcome
from modelyard.controller.reconcile.events import EventFilter, event
from modelyard.observe.status import ServiceEvent

OUTDATED_WAIT_S = 1.0
"""Time until another look at a service that changed while it was looked at."""

logger = logging.getLogger(__name__)


class Reporter:
    """Shared by all services. ``instance`` names this process in the events."""

    def __init__(self, cluster: Cluster, cache: Cache, now: Callable[[], datetime], instance: str) -> None:
        self._cluster = cluster
        self._cache = cache
        self._now = now
        self._instance = instance
        self._event_filter = EventFilter()

    async def report(self, plan: Plan, done: Done) -> float | None:
        """Store the status that the plan came to, if it differs, then create the events.

        Returns after how many seconds to look again, None if there is no need. Raises ApiError.
        """
        body, update = plan.observed.body, outcome(plan, done)
        if not await self._store(body, update.status):
            return OUTDATED_WAIT_S  # the watch mostly reports the change sooner
        await self._create(body, update.events)
        return update.requeue_after_s

    async def _store(self, body: Object, new: Object) -> bool:
        """Store the status if it differs. Returns whether it could be: not when the service has changed meanwhile."""
        if new == (body.get("status") or {}):
            return True
        try:
            written = await self._cluster.patch_status(body, new)
        except (NotFoundError, ConflictError):
            return False
        self._cache.upsert(kinds.INFERENCE_SERVICE, written)
        _log_transition(body.get("status") or {}, new)
        return True

    async def _create(self, about: Object, events: Iterable[ServiceEvent]) -> None:
        """Create the events. One that cannot be created is lost: the status has the same facts."""
        for each in events:
            now = self._now()  # each its own: events are named by their time
            if not self._event_filter.lets_pass(about["metadata"]["uid"], each.reason, each.message, now):
                continue
            try:
                await self._cluster.create_event(
                    event(about, each.type, each.reason, each.message, instance=self._instance, now=now)
                )
            except ApiError as error:
                if error.is_of_terminating_namespace:
                    return  # the events there go with it
                logger.warning("event lost", extra={"reason": each.reason, "error": str(error)})


def _log_transition(old: Object, new: Object) -> None:
    """One line, with the cause, when Ready or Accepted changes; progress inside a reason is no decision."""
    before, after = (_condition(status_, "Ready") for status_ in (old, new))
    accepted_before, accepted = (_condition(status_, "Accepted") for status_ in (old, new))
    if any(
        (one["status"], one["reason"]) != (other["status"], other["reason"])
        for one, other in ((before, after), (accepted_before, accepted))
    ):
        change = {"ready": after["status"], "reason": after["reason"], "because_of": after["message"]}
        logger.info("status changed", extra=change | {"before": before["reason"], "accepted": accepted["reason"]})


def _condition(status_: Object, type_: str) -> Object:
    conditions: Sequence[Object] = status_.get("conditions") or ()
    nothing = {"status": "Unknown", "reason": "", "message": ""}
    return next((condition for condition in conditions if condition["type"] == type_), nothing)
