"""The InferenceService as a user writes it: the one source of the CRD and of the parsed spec.

Field descriptions are what ``kubectl explain infsvc.spec`` prints, so they are written for users. Only constants that
no profile or setting may ever override are schema defaults; whatever a setting decides stays unset here. At run time
unknown fields are ignored, since the CRD may be newer than the operator: strictness is the API server's.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelyard import names
from modelyard.api.fields import (
    Amounts,
    ApiModel,
    Argument,
    DataKey,
    ImageName,
    ObjectName,
    ShortText,
    Word,
    rule,
    with_rules,
)
from modelyard.api.model_source import MODEL_RULES, S3, CaBundle, Credentials, Https, HuggingFace, ModelUri, Proxy


class Model(ApiModel):
    """What is served, and where it comes from."""

    model_config = ConfigDict(json_schema_extra=with_rules(*MODEL_RULES))

    uri: ModelUri = Field(
        description="Where the model lies: s3://bucket/path, hf://org/repository@revision, https://host/path/file "
        "or pvc://claim/path."
    )
    name: ShortText | None = Field(
        default=None, description="Name of the model as requests give it. Unset: metadata.name."
    )
    revision: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        default=None, description="Any text: a new one fetches the model anew and rolls it out."
    )
    credentials: Credentials | None = Field(
        default=None,
        description="Identity that may read the model. Unset: that of the pod's service account.",
    )
    ca_bundle: CaBundle | None = Field(
        default=None, description="Certificates to trust where the model is fetched from."
    )
    proxy: Proxy | None = Field(
        default=None, description="HTTP proxy to fetch the model through. Unset: from the operator's settings (none)."
    )
    s3: S3 | None = Field(default=None, description="How to reach the S3 store of an s3:// model. Unset: AWS.")
    hf: HuggingFace | None = Field(
        default=None, description="How to reach the hub of an hf:// model. Unset: Hugging Face's own."
    )
    https: Https | None = Field(default=None, description="What an https:// model must be. Required there.")


class KeyReference(ApiModel):
    """One key of a Secret or ConfigMap in this namespace."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: ObjectName = Field(description="Name of the Secret or ConfigMap.")
    key: DataKey = Field(description="Key of its data.")
    optional: bool | None = Field(
        default=None, description="true: start without the variable when the object or the key is missing."
    )


class EnvironmentSource(ApiModel):
    """Where an environment variable's value is kept."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                "valueFrom takes one of secretKeyRef and configMapKeyRef",
            )
        )
    )

    secret_key_ref: KeyReference | None = Field(default=None, description="The key of a Secret that holds the value.")
    config_map_key_ref: KeyReference | None = Field(
        default=None, description="The key of a ConfigMap that holds the value."
    )


class EnvironmentVariable(ApiModel):
    """A variable of the engine's environment, as in a container."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule("!(has(self.value) && has(self.valueFrom))", "an engine.env entry takes value or valueFrom, not both")
        )
    )

    name: Annotated[str, StringConstraints(max_length=253)] = Field(
        description="Name of the variable.",
        json_schema_extra=with_rules(
            rule(
                "self.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
                "must be the name of a variable: letters, digits, '_', '-' and '.', not beginning with a digit",
            )
        ),
    )
    value: Annotated[str, StringConstraints(max_length=32768)] | None = Field(
        default=None, description="Its value. Unset, and without valueFrom: empty."
    )
    value_from: EnvironmentSource | None = Field(default=None, description="Where its value is kept, instead of value.")


class Engine(ApiModel):
    """The program that serves the model."""

    type: Word | None = Field(
        default=None, description="The engine's name: vllm. Unset: from the operator's settings (vllm)."
    )
    version: Word | None = Field(
        default=None,
        description="The engine's version, such as 0.32.0. Unset: the image's tag, else from the operator's settings.",
    )
    image: ImageName | None = Field(
        default=None,
        description="Image to run. Unset: from the operator's settings, by type, version and accelerator.",
    )
    args: list[Argument] = Field(
        default=[],
        max_length=128,
        description="The engine's own command-line flags, such as --max-model-len=8192. "
        "One that modelyard would set as well wins over modelyard's.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvironmentVariable] = Field(
        default=[],
        max_length=128,
        description="Environment of the engine, as in a container.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class Accelerator(ApiModel):
    """What each replica computes on."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!(has(self.type) && self.type == 'cpu' && (has(self.count) || has(self.resource)))",
                "accelerator.count and accelerator.resource mean nothing on type cpu: remove them, "
                "and ask for cores under resources",
            )
        )
    )

    type: Word | None = Field(default=None, description="nvidia or cpu. Unset: from the operator's settings (nvidia).")
    count: int | None = Field(default=None, ge=1, le=64, description="Accelerators per replica. Unset: 1.")
    resource: Annotated[str, StringConstraints(max_length=253)] | None = Field(
        default=None,
        description="Extended resource to ask for. Unset: the type's own, such as nvidia.com/gpu.",
        json_schema_extra=with_rules(
            rule(
                "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
                "accelerator.resource must be an extended resource with its domain, such as nvidia.com/gpu",
            )
        ),
    )


class Resources(ApiModel):
    """Compute resources of the engine's container, as in a pod."""

    requests: Amounts = Field(
        default={}, description='What each replica is sure to get, such as {cpu: 4, memory: 32Gi}; fractions as "0.5".'
    )
    limits: Amounts = Field(default={}, description="What each replica may use at most.")


class Startup(ApiModel):
    """How long a replica may take until it can be asked."""

    timeout_seconds: int | None = Field(
        default=None,
        ge=10,
        le=86400,
        description="Longest time from the engine's start until the model can be asked, in seconds. "
        "The model's transfer is not counted: it is judged by its progress. "
        "Unset: from the operator's settings (1800).",
    )


class Drain(ApiModel):
    """How a replica ends."""

    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86400,
        description="How long a stopping replica may finish its requests, in seconds. "
        "Unset: from the operator's settings (60).",
    )


class InferenceServiceSpec(ApiModel):
    """What a user wants served."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!has(self.model.s3) || self.model.uri.startsWith('s3://')",
                "model.s3 belongs to a model.uri that begins with s3://: remove it or change the uri",
                field_path=".model.s3",
            )
        )
    )

    model: Model = Field(description="What is served, and where it comes from.")
    service_account_name: ObjectName | None = Field(
        default=None, description="Service account of the pods, for a cloud identity. Unset: the namespace's default."
    )
    engine: Engine = Field(default=Engine(), description="The program that serves the model.")
    accelerator: Accelerator = Field(default=Accelerator(), description="What each replica computes on.")
    resources: Resources = Field(default=Resources(), description="Requests and limits of the engine's container.")
    replicas: int = Field(default=1, ge=0, le=1000, description="How many pods serve the model.")
    startup: Startup = Field(default=Startup(), description="How long a replica may take to start.")
    drain: Drain = Field(default=Drain(), description="How a replica ends.")


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


class ModelStatus(ApiModel):
    """What is known of the model that runs."""

    digest: Annotated[str, StringConstraints(max_length=253)] | None = Field(
        default=None, description="Digest of the model's content in the cache."
    )
    size_bytes: int | None = Field(default=None, ge=0, description="Size of all its files, in bytes.")


class Effective(ApiModel):
    """What defaults and settings came to for the pods that run now."""

    engine_type: Word = Field(description="The engine's name.")
    engine_version: Word = Field(description="Its version.")
    engine_image: ImageName = Field(description="Its image.")
    accelerator_type: Word = Field(description="What each replica computes on.")
    accelerator_count: int = Field(ge=0, description="Accelerators per replica.")
    accelerator_resource: ShortText | None = Field(default=None, description="Extended resource that is asked for.")
    fetch_image: ImageName = Field(description="Image of the init container that fetches the model.")
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
    effective: Effective | None = Field(
        default=None, description="What defaults and settings came to for the pods that run now."
    )
    conditions: list[Condition] = Field(
        default=[],
        max_length=32,
        description="What is so at present, each with its reason and what to do about it.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class InferenceService(ApiModel):
    """A model that is served: what a user wants (spec), and what the operator saw (status)."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                f"self.metadata.name.size() <= {names.NAME_LENGTH}"
                " && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                f"metadata.name becomes the name of a Service: at most {names.NAME_LENGTH} characters, "
                "lower-case letters, digits and '-', beginning with a letter and not ending with '-'",
            )
        )
    )

    spec: InferenceServiceSpec = Field(description="What a user wants served.")
    status: InferenceServiceStatus | None = Field(default=None, description="What the operator saw.")
