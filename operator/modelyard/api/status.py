"""The status of an InferenceService, as in the CRD."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelyard.api.fields import ApiModel, ImageName, ShortText, Word
from modelyard.contract import names


class Condition(ApiModel):
    """A Kubernetes condition (metav1.Condition, with its bounds)."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)] = Field(
        description="Type of the condition: Ready, Accepted and so on."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Status of the condition.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The metadata.generation that the condition is based on."
    )
    last_transition_time: str = Field(
        description="Last time the status changed.", json_schema_extra={"format": "date-time"}
    )
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="Machine-readable reason, in CamelCase."
    )
    message: Annotated[str, StringConstraints(max_length=32768)] = Field(
        description="Human-readable explanation, with the remedy."
    )


def _is_empty(items: Sequence[object]) -> bool:
    return not items


class NodeFetch(ApiModel):
    """How the model reached a node."""

    name: ShortText = Field(description="Name of the node.")
    result: Literal["Hit", "Fetched", "Waited"] = Field(
        description="Hit: the model was already on the node. Fetched: this pod fetched it. "
        "Waited: another pod on the node fetched it."
    )
    seconds: int = Field(ge=0, description="Seconds until the pod had the model.")
    fetched_bytes: int = Field(ge=0, description="Bytes that the pod transferred.")


class ModelStatus(ApiModel):
    """The model being served."""

    source: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="URI of the model."
    )
    digest: Annotated[str, StringConstraints(max_length=253)] | None = Field(
        default=None, description="Digest of the model's content."
    )
    size_bytes: int | None = Field(default=None, ge=0, description="Total size of the model's files, in bytes.")
    nodes: list[NodeFetch] = Field(
        default=[],
        max_length=32,
        exclude_if=_is_empty,
        description="How the model reached the pods' nodes, most recent first.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class PrefetchNode(ApiModel):
    """A node on which the model is prefetched."""

    name: ShortText = Field(description="Name of the node.")
    state: Literal["Pending", "Fetching", "Ready", "Failed"] = Field(description="State of the prefetch on the node.")
    message: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Why the node is not ready, with the remedy."
    )


class PrefetchStatus(ApiModel):
    """Progress of prefetching the model to nodes."""

    desired: int = Field(ge=0, description="Desired number of nodes with the model and the images.")
    ready: int = Field(ge=0, description="Number of nodes with the model and the images.")
    nodes: list[PrefetchNode] = Field(
        default=[],
        max_length=32,
        exclude_if=_is_empty,
        description="Up to 32 of the nodes, those that are not ready first.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    reason: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Machine-readable reason, in CamelCase."
    )
    message: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="Human-readable progress, with the remedy if there is a problem."
    )
    finished_at: str | None = Field(
        default=None,
        description="When the last Job finished; unset while one is in progress.",
        json_schema_extra={"format": "date-time"},
    )


class StartupStatus(ApiModel):
    """Duration of the last start of a replica that became ready."""

    ready_at: str = Field(description="When the replica became ready.", json_schema_extra={"format": "date-time"})
    prepare_seconds: int = Field(
        ge=0, description="Seconds for the node to pull images and mount volumes, without the fetch."
    )
    fetch_seconds: int = Field(ge=0, description="Seconds to fetch the model to the node.")
    load_seconds: int = Field(ge=0, description="Seconds from the engine's start until the replica was ready.")


class Effective(ApiModel):
    """Effective values for the current pods, after profile and operator settings."""

    profile: ShortText | None = Field(default=None, description="ServingProfile that provided defaults.")
    engine_type: Word = Field(description="Type of the engine.")
    engine_version: Word = Field(description="Version of the engine.")
    engine_image: ImageName = Field(description="Container image of the engine.")
    accelerator_type: Word = Field(description="Type of accelerator.")
    accelerator_count: int = Field(ge=0, description="Accelerators per replica.")
    accelerator_resource: ShortText | None = Field(
        default=None, description="Extended resource that each replica requests."
    )
    accelerator_product_label: ShortText | None = Field(
        default=None, description="Node label that accelerator.product is matched against; set only if that is."
    )
    fetch_image: ImageName = Field(description="Container image of the init container that fetches the model.")
    cache_medium: names.Medium | None = Field(default=None, description="Where the model is cached.")
    startup_timeout_seconds: int = Field(
        ge=0, description="Seconds from the engine's start until a replica must be ready."
    )
    drain_timeout_seconds: int = Field(
        ge=0, description="Seconds that a terminating replica has to finish its requests."
    )


class InferenceServiceStatus(ApiModel):
    """Observed state of an InferenceService."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="The metadata.generation that this status is based on."
    )
    replicas: int | None = Field(default=None, ge=0, description="Number of existing replicas.")
    ready_replicas: int | None = Field(default=None, ge=0, description="Number of ready replicas.")
    desired_replicas: int | None = Field(default=None, ge=0, description="Number of desired replicas.")
    selector: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Label selector of the pods, for the scale subresource."
    )
    url: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="URL of the service, inside the cluster."
    )
    reason: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Reason of the Ready condition."
    )
    model: ModelStatus | None = Field(default=None, description="The model being served.")
    prefetch: PrefetchStatus | None = Field(default=None, description="Progress of prefetching the model to nodes.")
    startup: StartupStatus | None = Field(
        default=None, description="Duration of the last start of a replica that became ready."
    )
    effective: Effective | None = Field(
        default=None, description="Effective values for the current pods, after profile and operator settings."
    )
    conditions: list[Condition] = Field(
        default=[],
        max_length=32,
        description="Current conditions, each with its reason and remedy.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
