"""Who may wake a service at zero replicas, and by what: the only place that knows.

So far these are people, and programs that act for them: an annotation, and the scale subresource, which kubectl, a
HorizontalPodAutoscaler and a client of the API use. What holds requests in front of a service, once there is such a
thing, writes the annotation as well.
"""

from datetime import datetime

from modelyard.api.service import Object, Service
from modelyard.contract import names
from modelyard.desired.replicas import decided_replicas
from modelyard.observe.facts.raw_object import moment


def woken(service: Service, body: Object, now: datetime) -> datetime | None:
    """When something last needed the service, at most ``now``; None for never.

    A wake is a time, so that one that is repeated, or applied again with its file, is the same wake.
    """
    asked = moment(body, "metadata", "annotations", names.ANNOTATION_WAKE)
    scaled = now if decided_replicas(service) == 0 and service.spec.replicas > 0 else None
    return min(max(filter(None, [asked, scaled]), default=now), now) if asked or scaled else None
