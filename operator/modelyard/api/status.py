"""What the operator tells of a service: the CRD's status."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelyard.api.fields import ApiModel, ImageName, ShortText, Word
from modelyard.contract import names


class Condition(ApiModel):
    """A Kubernetes condition (metav1.Condition, with its bounds)."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)] = Field(
        description="What the condition is about: Ready, Accepted, ..."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The metadata.generation that the condition was judged for."
    )
    last_transition_time: str = Field(
        description="When status changed last.", json_schema_extra={"format": "date-time"}
    )
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="Why, as one CamelCase word."
    )
    message: Annotated[str, StringConstraints(max_length=32768)] = Field(description="Why, and what to do, for people.")


def _is_empty(items: Sequence[object]) -> bool:
    return not items


class NodeFetch(ApiModel):
    """How a node came by the model."""

    name: ShortText = Field(description="The node.")
    result: Literal["Hit", "Fetched", "Waited"] = Field(
        description="Hit: the model was there. Fetched: this pod brought it. Waited: another pod of the node did."
    )
    seconds: int = Field(ge=0, description="What it took the pod until the model was there.")
    fetched_bytes: int = Field(ge=0, description="Bytes that the pod transferred for it.")


class ModelStatus(ApiModel):
    """What is known of the model that runs."""

    source: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="The URI that it was fetched from."
    )
    digest: Annotated[str, StringConstraints(max_length=253)] | None = Field(
        default=None, description="Digest of the model's content in the cache."
    )
    size_bytes: int | None = Field(default=None, ge=0, description="Size of all its files, in bytes.")
    nodes: list[NodeFetch] = Field(
        default=[],
        max_length=32,
        exclude_if=_is_empty,
        description="How the nodes of its pods came by it, the newest first.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class PrefetchNode(ApiModel):
    """A node that the model is brought to ahead of the pods."""

    name: ShortText = Field(description="The node.")
    state: Literal["Pending", "Fetching", "Ready", "Failed"] = Field(description="How far it is.")
    message: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="What keeps it, and what to do about it."
    )


class PrefetchStatus(ApiModel):
    """How far the model is on the nodes that spec.cache.prefetch asks for."""

    desired: int = Field(ge=0, description="Nodes that shall have the model and the images.")
    ready: int = Field(ge=0, description="Nodes that have them.")
    nodes: list[PrefetchNode] = Field(
        default=[],
        max_length=32,
        exclude_if=_is_empty,
        description="Some of the nodes, those that are not ready first.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    reason: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="How far it is, as one CamelCase word, as conditions have them."
    )
    message: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="How far it is, and what to do, for people."
    )
    fingerprint: Word | None = Field(
        default=None,
        description="Stands for what is brought, and to which nodes: once it is there, it is left at that.",
    )
    finished_at: str | None = Field(
        default=None,
        description="When there was nothing more to do; unset while it is under way.",
        json_schema_extra={"format": "date-time"},
    )


class StartupStatus(ApiModel):
    """How long the last start took of a replica that became ready."""

    ready_at: str = Field(description="When it became ready.", json_schema_extra={"format": "date-time"})
    prepare_seconds: int = Field(
        ge=0, description="What its node took to pull images and mount volumes, without the fetch."
    )
    fetch_seconds: int = Field(ge=0, description="What bringing the model to the node took.")
    load_seconds: int = Field(ge=0, description="From the engine's start until it could be asked.")


class Effective(ApiModel):
    """What defaults and settings came to for the pods that run now."""

    profile: ShortText | None = Field(default=None, description="The ServingProfile that they were taken from.")
    engine_type: Word = Field(description="The engine's name.")
    engine_version: Word = Field(description="Its version.")
    engine_image: ImageName = Field(description="Its image.")
    accelerator_type: Word = Field(description="What each replica computes on.")
    accelerator_count: int = Field(ge=0, description="Accelerators per replica.")
    accelerator_resource: ShortText | None = Field(default=None, description="Extended resource that is asked for.")
    accelerator_product_label: ShortText | None = Field(
        default=None, description="Label of nodes that accelerator.product is looked for in; only where that is set."
    )
    fetch_image: ImageName = Field(description="Image of the init container that fetches the model.")
    cache_medium: names.Medium | None = Field(default=None, description="Where the model is kept.")
    startup_timeout_seconds: int = Field(ge=0, description="Longest time from the engine's start to its readiness.")
    drain_timeout_seconds: int = Field(ge=0, description="How long a stopping replica may finish its requests.")


class InferenceServiceStatus(ApiModel):
    """What the operator saw."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="The metadata.generation that this status speaks of."
    )
    replicas: int | None = Field(default=None, ge=0, description="Pods that exist.")
    ready_replicas: int | None = Field(default=None, ge=0, description="Pods that can be asked.")
    desired_replicas: int | None = Field(default=None, ge=0, description="Pods that shall exist.")
    selector: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Label selector of the pods, for the scale subresource."
    )
    url: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="Where to ask, inside the cluster."
    )
    reason: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Reason of the condition Ready."
    )
    model: ModelStatus | None = Field(default=None, description="What is known of the model that runs.")
    prefetch: PrefetchStatus | None = Field(
        default=None, description="How far the model is on the nodes that spec.cache.prefetch asks for."
    )
    startup: StartupStatus | None = Field(
        default=None, description="How long the last start took of a replica that became ready."
    )
    effective: Effective | None = Field(
        default=None, description="What defaults and settings came to for the pods that run now."
    )
    conditions: list[Condition] = Field(
        default=[],
        max_length=32,
        description="What is so at present, each with its reason and what to do about it.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
