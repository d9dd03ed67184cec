"""What a service requests of prefetching, and what one Job is for, which is written on the Job."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from modelyard.api.devices import DeviceRequest
from modelyard.api.service import Key, Object
from modelyard.contract import names


@dataclass(frozen=True)
class Request:
    """``count`` nodes with the labels in ``selector``, or all of them (None).

    ``fingerprint`` identifies all of this and what is brought there. ``pod`` is a pod as the Job makes them: a node
    must accept it, and offer the ``devices`` of the service's pods, which this pod does not request. ``template`` is
    the hash of the template of the service's pods, ``model_label`` the label of nodes whose cache holds the model.
    """

    fingerprint: str
    count: int | None
    selector: Mapping[str, str]
    pod: Object
    devices: DeviceRequest
    template: str
    model_label: str


class Round(BaseModel):
    """What one Job is for: ``count`` nodes out of those whose label names.LABEL_HOSTNAME is one of ``hosts``.

    ``warm`` are the nodes, by name, that were ready before it, ``planned`` is when it was
    planned, and tells it from the round before it for the same nodes.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    hosts: tuple[str, ...]
    count: int
    warm: tuple[str, ...] = ()
    planned: AwareDatetime


def job_of(service: Key) -> Key:
    """Where the Job of ``service`` is."""
    return Key(service.namespace, f"{service.name}-{names.COMPONENT_PREFETCH}")


def round_of(job: Object | None) -> Round | None:
    """The round that ``job`` records; None without a Job or a readable record."""
    annotations = ((job or {}).get("metadata") or {}).get("annotations") or {}
    try:
        return Round.model_validate_json(annotations.get(names.ANNOTATION_ROUND, ""), extra="ignore")
    except ValidationError:
        return None
