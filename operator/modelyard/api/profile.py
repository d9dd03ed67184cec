"""The ServingProfile as a platform team writes it: defaults for the services that name it, and what they may not use.

A field here has the same name, form and bounds as in an InferenceService, whose own word is always above it.
"""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from modelyard.api.fields import ApiModel, ImageName, Word, rule, with_rules
from modelyard.api.model_cache import CacheDefaults
from modelyard.api.pod_types import EnvironmentVariable
from modelyard.api.types import Accelerator, Drain, Resources, Startup
from modelyard.contract import names

ProfileArgument = Annotated[
    str,
    StringConstraints(max_length=4096),
    Field(
        json_schema_extra=with_rules(
            rule(
                "self.matches('^--?[A-Za-z]')",
                "write a flag and its value as one argument, such as --max-model-len=8192: "
                "a service then overrules it by the flag's name",
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
                "must be the path of a field of spec.podTemplate without list indexes, such as spec.hostNetwork "
                "or spec.volumes.hostPath",
            )
        )
    ),
]


class ProfileEngine(ApiModel):
    """Defaults of the program that serves the model."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "has(self.type) || !(has(self.version) || has(self.image) || has(self.args) || has(self.env))",
                "engine.version, image, args and env are those of one engine: name it in engine.type",
            )
        )
    )

    type: Word | None = Field(
        default=None,
        description="The engine's name, such as vllm. A service that names another one takes nothing of engine.",
    )
    version: Word | None = Field(
        default=None, description="The engine's version. A service that names a version or an image does without."
    )
    image: ImageName | None = Field(
        default=None,
        description="Image to run. A service that names an image, another version or another accelerator does without.",
    )
    args: list[ProfileArgument] = Field(
        default=[],
        max_length=128,
        description="The engine's flags, each with its value as --flag=value. They stand before the service's own, "
        "less those that the service sets.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvironmentVariable] = Field(
        default=[],
        max_length=128,
        description="Environment of the engine, less what the service sets. Readable by every user: no secrets.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class ProfileDefaults(ApiModel):
    """What a profile gives to services that leave it unset."""

    engine: ProfileEngine = Field(default=ProfileEngine(), description="Defaults of the engine.")
    accelerator: Accelerator = Field(
        default=Accelerator(),
        description="What each replica computes on. A service that names another type takes nothing of it.",
    )
    resources: Resources = Field(
        default=Resources(),
        description="Requests and limits of the engine's container. "
        "A service that names a resource, in either of the two, takes neither for it.",
    )
    startup: Startup = Field(default=Startup(), description="How long a replica may take to start.")
    drain: Drain = Field(default=Drain(), description="How a replica ends.")
    cache: CacheDefaults = Field(default=CacheDefaults(), description="Where models are kept on their way to engines.")


class ServingProfileSpec(ProfileDefaults):
    """A platform team's defaults, and its limits on spec.podTemplate."""

    forbid: list[FieldPath] = Field(
        default=[],
        max_length=64,
        description="Fields of spec.podTemplate that services of this profile may not set, such as spec.hostNetwork. "
        "What runs already is not touched.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class ServingProfile(ApiModel):
    """A platform team's defaults for InferenceServices: for those that name it in spec.profile, and those of a
    namespace whose label does.
    """

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                f"self.metadata.name.size() <= {names.PROFILE_NAME_LENGTH}",
                f"metadata.name must have at most {names.PROFILE_NAME_LENGTH} characters, so that a namespace's label "
                "can hold it",
            )
        )
    )

    spec: ServingProfileSpec = Field(description="The defaults.")
