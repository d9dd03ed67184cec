"""The ServingProfile: a platform team's defaults for InferenceServices, and its limits on them.

A field here has the same name, form and bounds as in an InferenceService, whose own value always wins.
"""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from modelyard.api.fields import ApiModel, ImageName, Word, rule, with_rules
from modelyard.api.inference_service import Accelerator, Drain, Resources, Startup
from modelyard.api.model_cache import CacheDefaults
from modelyard.api.pod_types import EnvironmentVariable
from modelyard.contract import names

ProfileArgument = Annotated[
    str,
    StringConstraints(max_length=4096),
    Field(
        json_schema_extra=with_rules(
            rule(
                "self.matches('^--?[A-Za-z]')",
                "must be a flag and its value in one argument, such as --max-model-len=8192, so that a service can "
                "override it by the flag's name",
            )
        )
    ),
]

FieldPath = Annotated[
    str,
    StringConstraints(max_length=253),
    Field(
        json_schema_extra=with_rules(
            rule(
                "self.matches('^(metadata|spec)([.][A-Za-z][A-Za-z0-9]*)+$')",
                "must be the path of a field in spec.podTemplate, without list indexes, such as spec.hostNetwork "
                "or spec.volumes.hostPath",
            )
        )
    ),
]


class ProfileEngine(ApiModel):
    """Defaults for the engine."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "has(self.type) || !(has(self.version) || has(self.image) || has(self.args) || has(self.env))",
                "engine.version, image, args and env apply to one engine: set engine.type",
            )
        )
    )

    type: Word | None = Field(
        default=None,
        description="Type of the engine, such as vllm. Services with another type use none of these engine defaults.",
    )
    version: Word | None = Field(
        default=None, description="Version of the engine. Ignored by services that set a version or an image."
    )
    image: ImageName | None = Field(
        default=None,
        description="Container image of the engine. "
        "Ignored by services that set an image, another version or another accelerator.",
    )
    args: list[ProfileArgument] = Field(
        default=[],
        max_length=128,
        description="Command-line flags of the engine, each as --flag=value. A service overrides them by flag name.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvironmentVariable] = Field(
        default=[],
        max_length=128,
        description="Environment variables of the engine. A service overrides them by name. "
        "Every user can read them: do not put secrets here.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class ProfileDefaults(ApiModel):
    """Defaults for fields that a service leaves unset."""

    engine: ProfileEngine = Field(default=ProfileEngine(), description="Defaults for the engine.")
    accelerator: Accelerator = Field(
        default=Accelerator(),
        description="Accelerators of each replica. Services with another type use none of these defaults.",
    )
    resources: Resources = Field(
        default=Resources(),
        description="Requests and limits of the engine's container. "
        "If a service sets a request or limit for a resource, both defaults for that resource are ignored.",
    )
    startup: Startup = Field(default=Startup(), description="Time limit for a replica to become ready.")
    drain: Drain = Field(default=Drain(), description="Graceful shutdown of a replica.")
    cache: CacheDefaults = Field(default=CacheDefaults(), description="Where models are cached.")


class ServingProfileSpec(ProfileDefaults):
    """Defaults for InferenceServices, and limits on their spec.podTemplate."""

    forbid: list[FieldPath] = Field(
        default=[],
        max_length=64,
        description="Fields of spec.podTemplate that services with this profile must not set, such as "
        "spec.hostNetwork. Running pods are not affected.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class ServingProfile(ApiModel):
    """A platform team's defaults for InferenceServices that name the profile in spec.profile, or whose namespace names
    it in a label.
    """

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                f"self.metadata.name.size() <= {names.PROFILE_NAME_LENGTH}",
                f"metadata.name must have at most {names.PROFILE_NAME_LENGTH} characters, so that it fits in a "
                "namespace's label",
            )
        )
    )

    spec: ServingProfileSpec = Field(description="Defaults and limits for InferenceServices.")
