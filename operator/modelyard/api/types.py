"""The InferenceService as a user writes it (design.md, section 4): the one source of the CRD and of the parsed spec.

Field descriptions are what ``kubectl explain infsvc.spec`` prints, so they are written for users. Only constants that
no profile or setting may ever override are schema defaults; whatever a setting decides stays unset here. At run time
unknown fields are ignored, since the CRD may be newer than the operator: strictness is the API server's.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from modelyard import names


class ApiModel(BaseModel):
    """Frozen, camelCase on the wire, and tolerant of fields that a newer CRD may have."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


def rule(expression: str, message: str) -> dict[str, str]:
    """A CEL rule of the CRD; ``message`` tells a person what to write instead."""
    return {"rule": expression, "message": message}


def with_rules(*rules: dict[str, str], **keywords: Any) -> dict[str, Any]:
    """JSON-schema extras of a field or type: CEL rules and structural-schema keywords."""
    return {"x-kubernetes-validations": list(rules), **keywords}


ShortText = Annotated[str, StringConstraints(min_length=1, max_length=253)]
ObjectName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
Argument = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
NUMBER_PATTERN = r"(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
QUANTITY_PATTERN = rf"^{NUMBER_PATTERN}(([KMGTPE]i)|[numkMGTPE]|([eE]{NUMBER_PATTERN}))?$"
"""The form of a Kubernetes quantity (apimachinery's resource.Quantity)."""

Quantity = Annotated[
    int | str,
    Field(
        json_schema_extra={
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
        }
    ),
]


class Credentials(ApiModel):
    """Where the identity that may read the model is kept."""

    secret_name: ObjectName = Field(
        description="Secret in this namespace with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "(and AWS_SESSION_TOKEN for temporary credentials)."
    )


class CaBundle(ApiModel):
    """Certificates to trust besides the image's own."""

    config_map_name: ObjectName = Field(description="ConfigMap in this namespace that holds the certificates as PEM.")
    key: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(
        default="ca.crt", description="Key of the ConfigMap."
    )


class S3(ApiModel):
    """How to reach an S3 store that is not AWS's own."""

    endpoint: Annotated[str, StringConstraints(min_length=8, max_length=2048)] | None = Field(
        default=None,
        description="URL of the S3 service; unset: AWS.",
        json_schema_extra=with_rules(
            rule(
                "self.startsWith('http://') || self.startsWith('https://')",
                "model.s3.endpoint must be a URL that begins with http:// or https://, "
                "for example https://s3.example.com",
            )
        ),
    )
    region: ShortText | None = Field(default=None, description="Region used in signatures; unset: us-east-1.")
    addressing_style: Literal["path", "virtual"] | None = Field(
        default=None,
        description="path: the bucket is part of the path (most private stores); virtual: it is part of the host name. "
        "Unset: path when an endpoint is given, else virtual.",
    )
    ca_bundle: CaBundle | None = Field(default=None, description="Certificates to trust for the endpoint.")


class Model(ApiModel):
    """What is served, and where it comes from."""

    uri: Annotated[str, StringConstraints(min_length=1, max_length=2048)] = Field(
        description="Where the model lies: s3://bucket/path.",
        json_schema_extra=with_rules(
            rule(
                "self.matches('^[a-z][a-z0-9+.-]*://[^/].*$')",
                "model.uri must look like scheme://place, for example s3://models/llama-3-8b",
            )
        ),
    )
    name: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = Field(
        default=None, description="Name of the model as requests give it; unset: metadata.name."
    )
    revision: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        default=None, description="Any text: a new one fetches the model anew and rolls it out."
    )
    credentials: Credentials | None = Field(
        default=None,
        description="Identity that may read the model; unset: that of the pod's service account.",
    )
    s3: S3 | None = Field(default=None, description="How to reach the S3 store of an s3:// model.")


class KeyReference(ApiModel):
    """One key of a Secret or ConfigMap in this namespace."""

    name: ObjectName
    key: ShortText
    optional: bool | None = None


class EnvironmentSource(ApiModel):
    """Where an environment variable's value is kept."""

    secret_key_ref: KeyReference | None = None
    config_map_key_ref: KeyReference | None = None


class EnvironmentVariable(ApiModel):
    """A variable of the engine's environment, as in a container."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule("!(has(self.value) && has(self.valueFrom))", "an engine.env entry takes value or valueFrom, not both")
        )
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    value: Annotated[str, StringConstraints(max_length=32768)] | None = None
    value_from: EnvironmentSource | None = None


class Engine(ApiModel):
    """The program that serves the model."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = Field(
        default=None, description="The engine's name: vllm. Unset: from the operator's settings (vllm)."
    )
    version: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = Field(
        default=None, description="The engine's version, such as 0.32.0. Unset: the image's tag, else the settings'."
    )
    image: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = Field(
        default=None, description="Image to run. Unset: from the settings' table by type, version and accelerator."
    )
    args: list[Argument] = Field(
        default=[],
        max_length=128,
        description="The engine's own command-line flags. One that we would set as well wins over ours.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvironmentVariable] = Field(
        default=[],
        max_length=128,
        description="Environment of the engine.",
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

    type: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = Field(
        default=None, description="nvidia or cpu. Unset: from the operator's settings (nvidia)."
    )
    count: int | None = Field(default=None, ge=1, le=64, description="Accelerators per replica; unset: 1.")
    resource: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = Field(
        default=None, description="Extended resource to ask for; unset: the type's own, such as nvidia.com/gpu."
    )


class Resources(ApiModel):
    """Compute resources of the engine's container, as in a pod."""

    requests: dict[str, Quantity] = Field(default={}, max_length=16)
    limits: dict[str, Quantity] = Field(default={}, max_length=16)


class Startup(ApiModel):
    """How long a replica may take until it can be asked."""

    timeout_seconds: int | None = Field(
        default=None,
        ge=10,
        le=86400,
        description="Longest time from a pod's start to its readiness, in seconds; unset: from the settings (1800).",
    )


class Drain(ApiModel):
    """How a replica ends."""

    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86400,
        description="How long a stopping replica may finish its requests, in seconds; unset: from the settings (60).",
    )


class InferenceServiceSpec(ApiModel):
    """What a user wants served."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!has(self.model.s3) || self.model.uri.startsWith('s3://')",
                "model.s3 belongs to a model.uri that begins with s3://: remove it or change the uri",
            )
        )
    )

    model: Model
    service_account_name: ObjectName | None = Field(
        default=None, description="Service account of the pods, for a cloud identity; unset: the namespace's default."
    )
    engine: Engine = Field(default=Engine(), description="The program that serves the model.")
    accelerator: Accelerator = Field(default=Accelerator(), description="What each replica computes on.")
    resources: Resources = Field(default=Resources(), description="Requests and limits of the engine's container.")
    replicas: int = Field(default=1, ge=0, le=1000, description="How many pods serve the model.")
    startup: Startup = Field(default=Startup(), description="How long a replica may take to start.")
    drain: Drain = Field(default=Drain(), description="How a replica ends.")


class Condition(ApiModel):
    """A Kubernetes condition (metav1.Condition)."""

    type: Annotated[str, StringConstraints(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    observed_generation: int
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    message: Annotated[str, StringConstraints(max_length=32768)]


class ModelStatus(ApiModel):
    """What is known of the model that runs."""

    digest: str | None = Field(default=None, description="Digest of the model's content in the cache.")
    size_bytes: int | None = Field(default=None, description="Size of all its files.")


class Effective(ApiModel):
    """What defaults and settings came to for the pods that run now."""

    engine_type: str
    engine_version: str
    engine_image: str
    accelerator_type: str
    accelerator_count: int
    accelerator_resource: str | None = None
    fetch_image: str
    startup_timeout_seconds: int
    drain_timeout_seconds: int


class InferenceServiceStatus(ApiModel):
    """What the operator saw."""

    observed_generation: int | None = None
    replicas: int = Field(default=0, description="Pods that exist.")
    ready_replicas: int = Field(default=0, description="Pods that can be asked.")
    desired_replicas: int = Field(default=0, description="Pods that shall exist.")
    selector: str | None = Field(default=None, description="Label selector of the pods, for the scale subresource.")
    url: str | None = Field(default=None, description="Where to ask, inside the cluster.")
    reason: str | None = Field(default=None, description="Reason of Ready, while it is not True.")
    model: ModelStatus | None = None
    effective: Effective | None = None
    conditions: list[Condition] = Field(
        default=[], json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )


NAME_RULE = rule(
    f"self.metadata.name.size() <= {names.NAME_LENGTH} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    f"metadata.name becomes the name of a Service: at most {names.NAME_LENGTH} characters, "
    "lower-case letters, digits and '-', beginning with a letter and not ending with '-'",
)
