"""The operator's settings: what a platform team decides once for all services. Data, no code.

Read at start from a YAML file (the ConfigMap of deploy/) and validated whole: an unknown key or a wrong type ends the
start with its name, so that a typo never passes for a default. Every default has its reason beside it.
"""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelyard.errors import InvalidError


class SettingsModel(BaseModel):
    """Frozen, strict about unknown keys. The file's keys are the fields' names, units included."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineImage(SettingsModel):
    """One row of the image table: what serves ``engine`` at ``version`` on ``accelerator``."""

    engine: str
    version: str
    accelerator: str
    image: str


class AcceleratorType(SettingsModel):
    """One row of the accelerator table: how pods ask for a type, and which taints they must tolerate."""

    resource: str | None = Field(default=None, description="Extended resource; none: the processor's own cores.")
    taints: tuple[str, ...] = Field(
        default=(),
        description="Keys of the taints that keep other pods off its nodes, whatever their value and effect.",
    )


class PodSecurity(SettingsModel):
    """User and groups of our pods. All None where the cluster assigns them (OpenShift)."""

    run_as_user: int | None = 65532
    run_as_group: int | None = 65532
    fs_group: int | None = 65532


class TemplateSettings(SettingsModel):
    """The settings that reach a pod template.

    Each Deployment records the ones that its pods were made with (desired/inputs.py), and keeps them when the operator
    or its settings change. So a field that is added here needs, as its default, what pods had before there was a
    setting: that is how older records are read.
    """

    fetch_image: str = Field(description="Image of the init container.")
    default_engine: str = "vllm"
    default_accelerator: str = "nvidia"
    default_versions: dict[str, str] = Field(
        default={"vllm": "0.32.0"}, description="Version of an engine whose service names neither version nor image."
    )
    images: tuple[EngineImage, ...] = (
        EngineImage(engine="vllm", version="0.32.0", accelerator="nvidia", image="vllm/vllm-openai:v0.32.0"),
        EngineImage(engine="vllm", version="0.32.0", accelerator="cpu", image="vllm/vllm-openai-cpu:v0.32.0"),
    )
    accelerators: dict[str, AcceleratorType] = {
        # The GPU operator and the clouds' GPU pools taint their nodes with the resource's own name.
        "nvidia": AcceleratorType(resource="nvidia.com/gpu", taints=("nvidia.com/gpu",)),
        "cpu": AcceleratorType(),
    }
    pod_security: PodSecurity = PodSecurity()
    startup_timeout_s: int = Field(default=1800, ge=10, description="Default of startup.timeoutSeconds.")
    drain_s: int = Field(default=60, ge=1, description="Default of drain.timeoutSeconds.")
    propagation_pause_s: int = Field(
        default=10, ge=0, description="How long a stopping pod serves on until every proxy has withdrawn it."
    )


class Settings(TemplateSettings):
    """Everything that a service's rendering takes from outside its spec, and the operator's own pace."""

    installation: str = Field(
        default="", max_length=63, description="Name of this installation; default: the namespace that it runs in."
    )
    namespaces: tuple[str, ...] = Field(
        default=(), description="The only namespaces of this installation, which it claims; none: all unclaimed ones."
    )
    claim_settle_s: int = Field(
        default=75,  # a watch that is cut off silently is replaced after 70 s
        ge=0,
        description="How long a new claim waits until installations for the whole cluster have heard of it.",
    )
    resync_s: int = Field(default=600, ge=10, description="Time between two full LISTs.")
    workers: int = Field(default=16, ge=1, description="Reconciles at once.")


def load(path: Path) -> Settings:
    """Settings from the YAML file ``path``.

    Raises InvalidError (SettingsInvalid) with the file's name and the key when it cannot be read or understood.
    """
    try:
        return Settings.model_validate(yaml.safe_load(path.read_text()) or {})
    except (OSError, yaml.YAMLError) as error:
        raise InvalidError("SettingsInvalid", f"cannot read the settings file {path}: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidError("SettingsInvalid", f"the settings file {path} is wrong at {problems}") from error
