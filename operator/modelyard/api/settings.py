"""The operator's settings: what a platform team decides once for all services.

They are read at start from a YAML file (the ConfigMap of deploy/) and validated as a whole: an unknown key or a wrong
type ends the start, so that a typo never passes as a default. Every default has its reason beside it.
"""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelyard.api.scope import Scope
from modelyard.api.validation import HTTP_URL, Amount, ProxyUrl, problems
from modelyard.contract import names
from modelyard.contract.errors import InvalidError


class SettingsModel(BaseModel):
    """Frozen, strict about unknown keys. The file's keys are the fields' names, units included."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineImage(SettingsModel):
    """One row of the image table: what serves ``engine`` at ``version`` on ``accelerator``."""

    engine: str
    version: str
    accelerator: str
    image: str


def _is_none(value: object) -> bool:
    return value is None


class AcceleratorType(SettingsModel):
    """One row of the accelerator table: how pods request a type, and which taints they must tolerate."""

    resource: str | None = Field(default=None, description="Extended resource; if unset, CPU cores.")
    taints: tuple[str, ...] = Field(
        default=(),
        description="Keys of the node taints that pods tolerate, with any value and effect.",
    )
    product_label: str | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Node label with the product; if unset, accelerator.product is refused.",
    )


class ContainerResources(SettingsModel):
    """Requests and limits of a container, as quantities by resource."""

    requests: dict[str, Amount] = {}
    limits: dict[str, Amount] = {}


FETCH_RESOURCES = ContainerResources(requests={"cpu": "250m", "memory": "256Mi"}, limits={"cpu": "4", "memory": "1Gi"})
"""All four are set, because a namespace with a quota rejects a pod that leaves one of them open. They add nothing to
the pod's request: of an init container's and the engine's requests the scheduler takes the larger. The fetcher's memory
is bounded by its blocks in flight; its cores bound the checksums, about 1 GB/s each."""


class PodSecurity(SettingsModel):
    """User and groups of our pods. All None where the cluster assigns them (OpenShift)."""

    run_as_user: int | None = 65532
    run_as_group: int | None = 65532
    fs_group: int | None = 65532


class FetchProxy(SettingsModel):
    """The HTTP proxy of services that name none. No user and password: everyone who can read a pod could read them."""

    url: ProxyUrl = Field(description="Such as http://proxy.example.com:3128.")
    no_proxy: tuple[str, ...] = Field(
        default=(".svc", ".cluster.local"),
        description="Host names, domains with all below, and IP addresses that are reached without it.",
    )


class TemplateSettings(SettingsModel):
    """The settings that reach a pod template.

    Each Deployment records the ones that its pods were made with (desired/template_record.py), and keeps them when the
    operator or its settings change. So the default of a new field must be what pods had before the field existed: older
    records are read with it. Records omit the field while it has its default (exclude_if), or an operator upgrade would
    write every Deployment anew.
    """

    fetch_image: str = Field(description="Image of the init container.")
    default_engine: str = "vllm"
    default_accelerator: str = "nvidia"
    default_versions: dict[str, str] = Field(
        default={"vllm": "0.32.0", "triton": "24.10"},
        description="Version of an engine whose service names neither version nor image.",
    )
    images: tuple[EngineImage, ...] = (
        EngineImage(engine="vllm", version="0.32.0", accelerator="nvidia", image="vllm/vllm-openai:v0.32.0"),
        EngineImage(engine="vllm", version="0.32.0", accelerator="amd", image="vllm/vllm-openai-rocm:v0.32.0"),
        EngineImage(engine="vllm", version="0.32.0", accelerator="cpu", image="vllm/vllm-openai-cpu:v0.32.0"),
        # One image for both: it serves without a GPU too. NVIDIA numbers images by month; 24.10 has Triton 2.51.
        EngineImage(
            engine="triton", version="24.10", accelerator="nvidia", image="nvcr.io/nvidia/tritonserver:24.10-py3"
        ),
        EngineImage(engine="triton", version="24.10", accelerator="cpu", image="nvcr.io/nvidia/tritonserver:24.10-py3"),
    )
    accelerators: dict[str, AcceleratorType] = {
        # The GPU operator and the clouds' GPU pools taint their nodes with the resource's own name.
        # GPU feature discovery, a part of it, labels them with their product.
        "nvidia": AcceleratorType(
            resource="nvidia.com/gpu", taints=("nvidia.com/gpu",), product_label="nvidia.com/gpu.product"
        ),
        # AMD's device plugin and node labeller (github.com/ROCm/k8s-device-plugin).
        "amd": AcceleratorType(
            resource="amd.com/gpu", taints=("amd.com/gpu",), product_label="amd.com/gpu.product-name"
        ),
        "cpu": AcceleratorType(),
    }
    pod_security: PodSecurity = PodSecurity()
    fetch_resources: ContainerResources = Field(
        default=FETCH_RESOURCES,
        exclude_if=lambda resources: resources == FETCH_RESOURCES,
        description="Requests and limits of the init container.",
    )
    fetch_proxy: FetchProxy | None = Field(
        default=None,
        exclude_if=lambda proxy: proxy is None,
        description="None: models are fetched without a proxy, and records stay as they were before there was one.",
    )
    startup_timeout_s: int = Field(default=1800, ge=10, description="Default of startup.timeoutSeconds.")
    drain_s: int = Field(default=60, ge=1, description="Default of drain.timeoutSeconds.")
    propagation_pause_s: int = Field(
        default=10, ge=0, description="How long a stopping pod serves on until every proxy has withdrawn it."
    )
    cache_medium: names.Medium = Field(
        default=names.MEDIUM_EPHEMERAL,  # where the node agent is installed, its overlay sets the other one
        description="Default of cache.medium. In every record, so that another default moves no model.",
    )


class Prometheus(SettingsModel):
    """The Prometheus that services with ``scaling.source: Prometheus`` are scaled by."""

    url: str = Field(pattern=HTTP_URL, description="Such as http://prometheus.monitoring.svc:9090.")
    bearer_token_file: Path | None = Field(default=None, description="File with the token to send; default: none.")
    ca_file: Path | None = Field(default=None, description="CA certificates to trust; default: the public ones.")
    timeout_s: float = Field(default=5, gt=0, le=60, description="Longest time of a query.")
    scrape_interval_s: float = Field(
        default=30,  # that of the Prometheus operator; Prometheus itself has 60
        gt=0,
        le=600,
        description="Time between two scrapes of a pod. Samples older than two of them count as unknown.",
    )


class Settings(TemplateSettings):
    """Everything that a service's rendering takes from outside its spec, and the operator's own pace."""

    default_profile: str | None = Field(
        default=None,
        description="ServingProfile of services that name none, in a namespace whose label names none.",
    )
    installation: str = Field(
        default="", max_length=63, description="Name of this installation; default: the namespace that it runs in."
    )
    namespaces: tuple[str, ...] = Field(
        default=(), description="The only namespaces of this installation, which it claims; none: all unclaimed ones."
    )
    claim_settle_s: int = Field(
        default=75,  # a watch that is cut off silently is replaced after 70 s
        ge=0,
        description="Seconds before a new claim takes effect, so that cluster-wide installations observe it first.",
    )
    resync_s: int = Field(default=600, ge=10, description="Time between two full LISTs.")
    workers: int = Field(default=16, ge=1, description="Reconciles at once.")
    scaling_interval_s: int = Field(default=15, ge=5, le=300, description="Time between two scaling decisions.")
    prometheus: Prometheus | None = Field(
        default=None, description="Prometheus of services whose scaling.source is Prometheus."
    )
    operator_namespace: str | None = Field(
        default=None, description="Where the operator's own pods are, which every NetworkPolicy lets through."
    )

    @property
    def scope(self) -> Scope:
        """Where this installation works."""
        return Scope(self.namespaces)

    def running_in(self, namespace: str) -> "Settings":
        """The settings of an operator in ``namespace``, the default of operator_namespace."""
        return self.model_copy(update={"operator_namespace": self.operator_namespace or namespace})


def load(path: Path) -> Settings:
    """Settings from the YAML file ``path``.

    Raises InvalidError (SettingsInvalid) with the file's name and the key when it cannot be read or understood.
    """
    try:
        return Settings.model_validate(yaml.safe_load(path.read_text()) or {})
    except (OSError, yaml.YAMLError) as error:
        raise InvalidError("SettingsInvalid", f"cannot read the settings file {path}: {error}") from error
    except ValidationError as error:
        found = "; ".join(problems(Settings, error))
        raise InvalidError("SettingsInvalid", f"the settings file {path} is wrong: {found}") from error
