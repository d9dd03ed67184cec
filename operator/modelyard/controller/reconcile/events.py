"""Events about a service, as `kubectl describe` shows them: how they look, and how many of them there may be.

Status decides which transition is worth an event; repeats are suppressed here, so that a flapping service does not
fill the event list.
"""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names

WINDOW = timedelta(minutes=10)
"""The same event about the same service is created once within this time."""

MOST_IN_WINDOW = 25
"""Different events about one service within WINDOW; client-go's figure for one object."""

MOST_OF_A_REASON = 10
"""At most this many per reason, so that a frequent one (a hundred nodes fetch a model) does not crowd out others."""

REMEMBERED_SERVICES = 10_000
NOTE_LENGTH = 1024
"""Longest note that the API server takes, in bytes."""

Created = OrderedDict[tuple[str, str], datetime]


class EventFilter:
    """Remembers recent events."""

    def __init__(self) -> None:
        self._created: OrderedDict[str, Created] = OrderedDict()

    def lets_pass(self, uid: str, reason: str, note: str, now: datetime) -> bool:
        """Whether to create this event about the object with that uid. True counts as created."""
        created = self._created.setdefault(uid, OrderedDict())
        if len(self._created) > REMEMBERED_SERVICES:
            self._created.popitem(last=False)
        while created and now - next(iter(created.values())) >= WINDOW:
            created.popitem(last=False)
        of_reason = sum(known == reason for known, _ in created)
        if (reason, note) in created or len(created) >= MOST_IN_WINDOW or of_reason >= MOST_OF_A_REASON:
            return False
        created[reason, note] = now
        return True


def event(about: Object, type_: str, reason: str, note: str, *, instance: str, now: datetime) -> Object:
    """An events.k8s.io/v1 Event of type Normal or Warning. ``instance`` names this process, such as its pod.

    Its name holds the time, in digits that sort: `kubectl describe` lists such events by name.
    """
    metadata = about["metadata"]
    time_us = (now - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    return {
        "apiVersion": kinds.EVENT.api_version,
        "kind": kinds.EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{time_us:016x}", "namespace": metadata["namespace"]},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": names.APPLICATION,
        "reportingInstance": instance,
        "action": "Reconcile",
        "type": type_,
        "reason": reason,
        "note": note.encode()[:NOTE_LENGTH].decode(errors="ignore"),
        "regarding": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }
