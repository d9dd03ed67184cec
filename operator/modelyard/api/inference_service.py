"""The InferenceService: the one source of the CRD and of the parsed spec.

``kubectl explain infsvc.spec`` prints the field descriptions, so they are written for users. Only constants that no
profile or setting may override are schema defaults; what a setting decides stays unset here. Unknown fields are
ignored at run time, because the CRD may be newer than the operator: the API server is the strict one.
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
            rule("!self.startsWith('-')", "an alias must not begin with '-', or the engine reads it as a flag")
        )
    ),
]


class Model(ApiModel):
    """The model to serve, and where it comes from."""

    model_config = ConfigDict(json_schema_extra=with_rules(*MODEL_RULES))

    uri: ModelUri = Field(
        description="Location of the model: s3://bucket/path, hf://org/repository@revision, https://host/path/file "
        "or pvc://claim/path."
    )
    name: ShortText | None = Field(
        default=None,
        description="Name of the model in requests. Defaults to metadata.name. "
        "Not supported by triton, where requests use the names of the models' folders.",
    )
    aliases: list[Alias] = Field(
        default=[],
        max_length=16,
        description="Additional names of the model in requests. Supported by vllm.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    revision: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="Any text. Changing it fetches the model again and rolls it out. The first content fetched for a "
        "revision is pinned: no other content is ever served for that revision.",
    )
    digest: ContentDigest | None = Field(
        default=None,
        description="Digest of the content to serve, as reported in status.model.digest. Any other content is refused. "
        "Defaults to the first content fetched for model.uri and model.revision.",
    )
    credentials: Credentials | None = Field(
        default=None,
        description="Credentials for reading the model. "
        "Defaults to none; for s3://, to the identity of the pods' service account.",
    )
    ca_bundle: CaBundle | None = Field(default=None, description="CA certificates to trust when fetching the model.")
    proxy: Proxy | None = Field(
        default=None,
        description="HTTP proxy for fetching the model. Defaults to the operator's setting fetch_proxy (none).",
    )
    s3: S3 | None = Field(default=None, description="S3 store of an s3:// model. Defaults to AWS.")
    hf: HuggingFace | None = Field(
        default=None, description="Model hub of an hf:// model. Defaults to the Hugging Face Hub."
    )
    https: Https | None = Field(default=None, description="Checksum of an https:// model. Required for https://.")


ModelFolder = Annotated[
    str,
    StringConstraints(max_length=128),
    Field(
        json_schema_extra=with_rules(
            rule(
                "self.matches('^[a-zA-Z0-9_][-a-zA-Z0-9_.]*$')",
                "must be the name of a model's folder in the repository: letters, digits, '_', '-' and '.', "
                "starting with a letter, a digit or '_'",
            )
        )
    ),
]


class TritonEngine(ApiModel):
    """Options of the triton engine."""

    models: list[ModelFolder] = Field(
        default=[],
        max_length=64,
        description="Models to load from the repository, by folder name. Defaults to all.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Engine(ApiModel):
    """The program that serves the model."""

    type: Word | None = Field(
        default=None,
        description="Engine that serves the model: vllm or triton. "
        "Defaults to the profile's, then to the operator's setting (vllm).",
    )
    version: Word | None = Field(
        default=None,
        description="Version of the engine, such as 0.32.0. "
        "Defaults to the tag of an image from the engine's own project, then to the profile's version, then to the "
        "operator's setting.",
    )
    image: ImageName | None = Field(
        default=None,
        description="Container image of the engine. Defaults to the profile's, then to the one in the operator's "
        "settings for this type, version and accelerator.",
    )
    args: list[Argument] = Field(
        default=[],
        max_length=128,
        description="Command-line flags of the engine, such as --max-model-len=8192. "
        "They override the defaults of modelyard and of the profile.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvironmentVariable] = Field(
        default=[],
        max_length=128,
        description="Environment variables of the engine's container. They override the profile's.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    triton: TritonEngine | None = Field(default=None, description="Options of the triton engine.")


class Accelerator(ApiModel):
    """Accelerators of each replica."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!(has(self.type) && self.type == 'cpu'"
                " && (has(self.count) || has(self.resource) || has(self.product)))",
                "accelerator.count, accelerator.resource and accelerator.product have no effect with type cpu: "
                "remove them, and request cores in resources",
            )
        )
    )

    type: Word | None = Field(
        default=None,
        description="Type of accelerator: nvidia, amd or cpu. "
        "Defaults to the profile's, then to the operator's setting (nvidia).",
    )
    count: int | None = Field(
        default=None, ge=1, le=64, description="Accelerators per replica. Defaults to the profile's, then to 1."
    )
    resource: Annotated[str, StringConstraints(max_length=253)] | None = Field(
        default=None,
        description="Extended resource to request. "
        "Defaults to the profile's, then to the type's, such as nvidia.com/gpu.",
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
        description="Accelerator products to run on, any of them, as in the nodes' labels, such as NVIDIA-A10G "
        "(kubectl get nodes -L nvidia.com/gpu.product). Defaults to any product.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Resources(ApiModel):
    """Compute resources of the engine's container."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits)"
                " || !isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name]))"
                " || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
                "resources.requests must not exceed resources.limits",
                field_path=".requests",
            )
        )
    )

    requests: Amounts = Field(
        default={}, description='Minimum for each replica, such as {cpu: 4, memory: 32Gi}; write fractions as "0.5".'
    )
    limits: Amounts = Field(default={}, description="Maximum for each replica.")


class Startup(ApiModel):
    """Time limit for a replica to become ready."""

    timeout_seconds: int | None = Field(
        default=None,
        ge=10,
        le=86400,
        description="Seconds from the engine's start until the replica must be ready. "
        "Fetching the model does not count, as long as it makes progress. "
        "Defaults to the profile's, then to the operator's setting (1800).",
    )


class Drain(ApiModel):
    """Graceful shutdown of a replica."""

    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86400,
        description="Seconds that a terminating replica has to finish its requests. "
        "Defaults to the profile's, then to the operator's setting (60).",
    )


class InferenceServiceSpec(ApiModel):
    """Desired state of the InferenceService."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!has(self.model.s3) || self.model.uri.startsWith('s3://')",
                "model.s3 is only valid with an s3:// model.uri: remove it or change the uri",
                field_path=".model.s3",
            ),
            CACHE_RULE,
        )
    )

    model: Model = Field(description="The model to serve, and where it comes from.")
    service_account_name: ObjectName | None = Field(
        default=None,
        description="Service account of the pods, for example for a cloud identity. "
        "Defaults to the namespace's default service account.",
    )
    image_pull_secrets: list[PullSecret] = Field(
        default=[],
        max_length=16,
        description="Secrets for pulling the pods' images, in addition to those of the service account.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    profile: ObjectName | None = Field(
        default=None,
        description="ServingProfile that provides defaults for fields left unset. Defaults to the one in the "
        f"namespace's label {names.LABEL_PROFILE}, then to the operator's setting (none).",
    )
    engine: Engine = Field(default=Engine(), description="The program that serves the model.")
    accelerator: Accelerator = Field(default=Accelerator(), description="Accelerators of each replica.")
    resources: Resources = Field(default=Resources(), description="Requests and limits of the engine's container.")
    cache: Cache = Field(default=Cache(), description="Where the model is cached, and on which nodes in advance.")
    replicas: int = Field(default=1, ge=0, le=1000, description="Desired number of replicas.")
    startup: Startup = Field(default=Startup(), description="Time limit for a replica to become ready.")
    drain: Drain = Field(default=Drain(), description="Graceful shutdown of a replica.")
    network_policy: NetworkPolicy | None = Field(
        default=None,
        description="Which clients may connect to the pods, in clusters that enforce NetworkPolicies. "
        "Defaults to all clients.",
    )
    service: ServiceMetadata = Field(
        default=ServiceMetadata(), description="Labels and annotations of the Service in front of the pods."
    )
    pod_template: PodTemplate | None = Field(
        default=None,
        description="Pod fields that the fields above do not cover: priority class, runtime class, volumes, sidecars, "
        "affinity and so on. Merged last.",
    )


class InferenceService(ApiModel):
    """A model served on the cluster: an engine, its replicas and the Service in front of them."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                f"self.metadata.name.size() <= {names.NAME_LENGTH}"
                " && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                f"metadata.name becomes the name of a Service: at most {names.NAME_LENGTH} characters, "
                "lower-case letters, digits and '-', starting with a letter and not ending with '-'",
            )
        )
    )

    spec: InferenceServiceSpec = Field(description="Desired state of the InferenceService.")
    status: InferenceServiceStatus | None = Field(
        default=None, description="Observed state of the InferenceService, written by the operator."
    )
