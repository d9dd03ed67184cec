"""What the status needs to know of a resolved spec, and no more."""

from dataclasses import dataclass

from modelyard.api.status import Effective
from modelyard.contract.errors import InvalidError


@dataclass(frozen=True)
class Wanted:
    """What shall run. ``template`` is the hash in names.ANNOTATION_TEMPLATE of the pods that shall exist;
    ``accelerator_resource`` is None on CPU. ``refresh_changes`` is what a refresh would change of the pods, by name;
    ``refresh_refusal`` what it would end in.
    """

    replicas: int
    template: str
    accelerator_resource: str | None
    accelerator_count: int
    startup_timeout_s: int
    url: str
    effective: Effective
    refresh_changes: tuple[str, ...] = ()
    refresh_refusal: InvalidError | None = None
