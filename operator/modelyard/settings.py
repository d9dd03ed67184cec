"""The operator's settings: what a platform team decides once for all services. Data, no code.

Read at start from a YAML file (the ConfigMap of deploy/) and validated whole: an unknown key or a wrong type ends the
start with its name, so that a typo never passes for a default. Every default has its reason beside it.
"""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelyard.errors import InvalidError


class SettingsModel(BaseModel):
    """Frozen, camelCase in the file, strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=None, populate_by_name=True)


class EngineImage(SettingsModel):
    """One row of the image table: what serves ``engine`` at ``version`` on ``accelerator``."""

    engine: str
    version: str
    accelerator: str
    image: str


class PodSecurity(SettingsModel):
    """User and groups of our pods. All None where the cluster assigns them (OpenShift)."""

    run_as_user: int | None = 65532
    run_as_group: int | None = 65532
    fs_group: int | None = 65532


class Settings(SettingsModel):
    """Everything that a service's rendering takes from outside its spec, and the operator's own pace."""

    fetch_image: str = Field(description="Image of the init container.")
    default_engine: str = "vllm"
    default_accelerator: str = "nvidia"
    default_versions: dict[str, str] = Field(
        default={"vllm": "0.32.0"}, description="Version of an engine whose service names none."
    )
    images: list[EngineImage] = Field(
        default=[
            EngineImage(engine="vllm", version="0.32.0", accelerator="nvidia", image="vllm/vllm-openai:v0.32.0"),
            EngineImage(engine="vllm", version="0.32.0", accelerator="cpu", image="vllm/vllm-openai-cpu:v0.32.0"),
        ]
    )
    pod_security: PodSecurity = PodSecurity()
    startup_timeout_s: int = Field(default=1800, ge=10, description="Default of startup.timeoutSeconds.")
    drain_s: int = Field(default=60, ge=1, description="Default of drain.timeoutSeconds.")
    propagation_pause_s: int = Field(
        default=10, ge=0, description="How long a stopping pod serves on until every proxy has withdrawn it."
    )
    resync_s: int = Field(default=600, ge=10, description="Time between two full LISTs (design.md, section 3).")
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
