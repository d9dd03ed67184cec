"""Who may wake a service at zero replicas, and by what: the only place that knows.

So far these are people, and programs that act for them: an annotation, and the scale subresource, which kubectl, a
HorizontalPodAutoscaler and a client of the API use. What holds requests in front of a service, once there is such a
thing, writes the annotation as well.
"""

from datetime import datetime, timedelta

from modelyard.api.service import Object, Service
from modelyard.contract import names
from modelyard.contract.untrusted import bounded
from modelyard.desired.replicas import decided_replicas
from modelyard.observe.facts.raw_object import moment, text

SKEW = timedelta(minutes=5)
"""How far a wake may be ahead of the operator's clock: one in the future would wake the service until then."""

SHOWN = 64
"""Characters of a value that are shown."""


def woken(service: Service, body: Object, now: datetime) -> datetime | None:
    """When something last needed the service, at most ``now``; None for never.

    A wake is a time, so that one that is repeated, or applied again with its file, is the same wake.
    """
    asked = None if wake_problem(body, now) else _annotated(body)
    scaled = now if decided_replicas(service) == 0 and service.spec.replicas > 0 else None
    return min(max(filter(None, [asked, scaled]), default=now), now) if asked or scaled else None


def wake_problem(body: Object, now: datetime) -> str:
    """Why the annotation wakes nothing, in a sentence; empty where it does, or is not there."""
    value = text(body, "metadata", "annotations", names.ANNOTATION_WAKE)
    asked = _annotated(body)
    if not value or (asked is not None and asked <= now + SKEW):
        return ""
    why = "is no time" if asked is None else "is in the future"
    return (
        f"The annotation {names.ANNOTATION_WAKE}, {bounded(value, SHOWN)}, {why}, so it wakes nothing: set it to the "
        "present time in UTC, such as 2026-01-31T08:00:00Z."
    )


def _annotated(body: Object) -> datetime | None:
    return moment(body, "metadata", "annotations", names.ANNOTATION_WAKE)
