"""The InferenceService as a user writes it: the one source of the CRD and of the parsed spec.

Field descriptions are what ``kubectl explain infsvc.spec`` prints, so they are written for users. Only constants that
no profile or setting may ever override are schema defaults; whatever a setting decides stays unset here. At run time
unknown fields are ignored, since the CRD may be newer than the operator: strictness is the API server's.
"""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from modelyard.api.fields import (
    EXTENDED_RESOURCE,
    Amounts,
    ApiModel,
    Argument,
    ImageName,
    LabelValue,
    ObjectName,
    ShortText,
    Word,
    rule,
    with_rules,
)
from modelyard.api.model_cache import CACHE_RULE, Cache
from modelyard.api.model_source import (
    MODEL_RULES,
    S3,
    CaBundle,
    ContentDigest,
    Credentials,
    Https,
    HuggingFace,
    ModelUri,
    Proxy,
)
from modelyard.api.network import NetworkPolicy
from modelyard.api.pod_types import EnvironmentVariable, PodTemplate, PullSecret, ServiceMetadata
from modelyard.api.status import InferenceServiceStatus
from modelyard.contract import names

Alias = Annotated[
    ShortText,
    Field(
        json_schema_extra=with_rules(
            rule("!self.startsWith('-')", "an alias may not begin with '-': it would be a flag")
        )
    ),
]


class Model(ApiModel):
    """What is served, and where it comes from."""

    model_config = ConfigDict(json_schema_extra=with_rules(*MODEL_RULES))

    uri: ModelUri = Field(
        description="Where the model lies: s3://bucket/path, hf://org/repository@revision, https://host/path/file "
        "or pvc://claim/path."
    )
    name: ShortText | None = Field(
        default=None,
        description="Name of the model as requests give it. Unset: metadata.name. "
        "Not for triton, whose requests name models by their folders.",
    )
    aliases: list[Alias] = Field(
        default=[],
        max_length=16,
        description="Further names by which requests may ask for the model, where the engine knows such (vllm).",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    revision: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="Any text: a new one fetches the model anew and rolls it out. The first content that was fetched "
        "for a revision is the only one that is ever served for it.",
    )
    digest: ContentDigest | None = Field(
        default=None,
        description="The content to serve, as status.model.digest names it: a model that is anything else is refused. "
        "Unset: the first content that was fetched for model.uri and model.revision.",
    )
    credentials: Credentials | None = Field(
        default=None,
        description="Secret that lets the model be read. "
        "Unset: none; for s3:// the identity of the pod's service account.",
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


ModelFolder = Annotated[
    str,
    StringConstraints(max_length=128),
    Field(
        json_schema_extra=with_rules(
            rule(
                "self.matches('^[a-zA-Z0-9_][-a-zA-Z0-9_.]*$')",
                "must be the name of a model's folder in the repository: letters, digits, '_', '-' and '.', "
                "beginning with a letter, a digit or '_'",
            )
        )
    ),
]


class TritonEngine(ApiModel):
    """What only the engine triton reads."""

    models: list[ModelFolder] = Field(
        default=[],
        max_length=64,
        description="Models of the repository to load, by the names of their folders. Unset: all.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Engine(ApiModel):
    """The program that serves the model."""

    type: Word | None = Field(
        default=None,
        description="The engine's name, such as vllm or triton. "
        "Unset: from the profile, else from the operator's settings (vllm).",
    )
    version: Word | None = Field(
        default=None,
        description="The engine's version, such as 0.32.0. "
        "Unset: the image's tag, else from the profile, else from the operator's settings.",
    )
    image: ImageName | None = Field(
        default=None,
        description="Image to run. Unset: from the profile, else from the operator's settings, "
        "by type, version and accelerator.",
    )
    args: list[Argument] = Field(
        default=[],
        max_length=128,
        description="The engine's own command-line flags, such as --max-model-len=8192. "
        "One that modelyard or the profile would set as well wins over theirs.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvironmentVariable] = Field(
        default=[],
        max_length=128,
        description="Environment of the engine, as in a container. "
        "The profile's variables stand before it, less those set here.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    triton: TritonEngine | None = Field(default=None, description="What only the engine triton reads.")


class Accelerator(ApiModel):
    """What each replica computes on."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!(has(self.type) && self.type == 'cpu'"
                " && (has(self.count) || has(self.resource) || has(self.product)))",
                "accelerator.count, accelerator.resource and accelerator.product mean nothing on type cpu: "
                "remove them, and ask for cores under resources",
            )
        )
    )

    type: Word | None = Field(
        default=None,
        description="nvidia, amd or cpu. Unset: from the profile, else from the operator's settings (nvidia).",
    )
    count: int | None = Field(
        default=None, ge=1, le=64, description="Accelerators per replica. Unset: from the profile, else 1."
    )
    resource: Annotated[str, StringConstraints(max_length=253)] | None = Field(
        default=None,
        description="Extended resource to ask for. "
        "Unset: from the profile, else the type's own, such as nvidia.com/gpu.",
        json_schema_extra=with_rules(
            rule(
                f"self.matches('{EXTENDED_RESOURCE}')",
                "accelerator.resource must be an extended resource with its domain, such as nvidia.com/gpu",
            )
        ),
    )
    product: list[Annotated[LabelValue, StringConstraints(min_length=1)]] = Field(
        default=[],
        max_length=16,
        description="Products to run on, any of them, as the nodes' labels name them, such as NVIDIA-A10G "
        "(kubectl get nodes -L nvidia.com/gpu.product). Unset: any.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Resources(ApiModel):
    """Compute resources of the engine's container, as in a pod."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits)"
                " || !isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name]))"
                " || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
                "resources.requests must not be above resources.limits",
                field_path=".requests",
            )
        )
    )

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
        "Unset: from the profile, else from the operator's settings (1800).",
    )


class Drain(ApiModel):
    """How a replica ends."""

    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86400,
        description="How long a stopping replica may finish its requests, in seconds. "
        "Unset: from the profile, else from the operator's settings (60).",
    )


class InferenceServiceSpec(ApiModel):
    """What a user wants served."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!has(self.model.s3) || self.model.uri.startsWith('s3://')",
                "model.s3 belongs to a model.uri that begins with s3://: remove it or change the uri",
                field_path=".model.s3",
            ),
            CACHE_RULE,
        )
    )

    model: Model = Field(description="What is served, and where it comes from.")
    service_account_name: ObjectName | None = Field(
        default=None, description="Service account of the pods, for a cloud identity. Unset: the namespace's default."
    )
    image_pull_secrets: list[PullSecret] = Field(
        default=[],
        max_length=16,
        description="Secrets that the pods' images are pulled with, beside those of the service account.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    profile: ObjectName | None = Field(
        default=None,
        description="ServingProfile that gives what is left unset here. Unset: the one that the namespace's label "
        f"{names.LABEL_PROFILE} names, else from the operator's settings (none).",
    )
    engine: Engine = Field(default=Engine(), description="The program that serves the model.")
    accelerator: Accelerator = Field(default=Accelerator(), description="What each replica computes on.")
    resources: Resources = Field(default=Resources(), description="Requests and limits of the engine's container.")
    cache: Cache = Field(default=Cache(), description="Where the model is kept on its way to the engine.")
    replicas: int = Field(default=1, ge=0, le=1000, description="How many pods serve the model.")
    startup: Startup = Field(default=Startup(), description="How long a replica may take to start.")
    drain: Drain = Field(default=Drain(), description="How a replica ends.")
    network_policy: NetworkPolicy | None = Field(
        default=None,
        description="Who may call the service, where the cluster's network enforces NetworkPolicies. Unset: anybody.",
    )
    service: ServiceMetadata = Field(
        default=ServiceMetadata(), description="Labels and annotations of the Service in front of the pods."
    )
    pod_template: PodTemplate | None = Field(
        default=None,
        description="What the fields above don't say of the pods, in a pod's own words: priority class, runtime class, "
        "volumes, sidecars, affinity, ... Merged last.",
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
