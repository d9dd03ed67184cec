"""What the status needs to know of a resolved spec, and no more."""

from dataclasses import dataclass

from modelyard.api.devices import DeviceRequest
from modelyard.api.status import Effective
from modelyard.contract.errors import InvalidError


@dataclass(frozen=True)
class Wanted:
    """What shall run. ``template`` is the hash in names.ANNOTATION_TEMPLATE of the pods that shall exist;
    ``devices`` are what each pod requests. ``refresh_changes`` is what a refresh would change of the pods, by name;
    ``refresh_refusal`` what it would end in.
    """

    replicas: int
    template: str
    devices: DeviceRequest
    startup_timeout_s: int
    url: str
    effective: Effective
    refresh_changes: tuple[str, ...] = ()
    refresh_refusal: InvalidError | None = None
