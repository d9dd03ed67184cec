"""What a pod template takes from outside the spec, and how a Deployment remembers it.

Only its user restarts a GPU fleet. An operator upgrade, a changed setting or a new default would each change every
template, and so roll every pod. Therefore a Deployment records the settings that its pods were rendered with, and
resolve.py uses the record as long as it gives the recorded template.
"""

from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer

from modelyard.api.profile import ProfileDefaults
from modelyard.api.service import Object
from modelyard.api.settings import Settings, TemplateSettings
from modelyard.contract import names

RENDERING = 1
"""The newest form of pod template that this operator writes. See TemplateInputs.rendering."""

NO_PRODUCT_LABEL = {"product_label": None}


class AppliedProfile(BaseModel):
    """A profile's name and what it gave when the pods were rendered."""

    model_config = ConfigDict(frozen=True)

    name: str
    defaults: ProfileDefaults

    @field_serializer("defaults")
    def _as_written(self, defaults: ProfileDefaults) -> Object:
        return defaults.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class TemplateInputs(TemplateSettings):
    """What one service's template was rendered with: a profile, and the settings less the table rows it did not use.

    ``rendering`` is the form of the template. A change of how templates are rendered raises RENDERING, and keeps
    the former way for inputs with the former number (``if inputs.rendering >= 2``), so that services of the former
    release keep their pods until their user changes or refreshes them; each release's golden files prove
    that. A form may be dropped once no supported release wrote it: services that still had it then roll once.
    """

    rendering: int
    profile: AppliedProfile | None = Field(default=None, exclude_if=lambda profile: profile is None)

    @classmethod
    def of(cls, settings: Settings, profile: AppliedProfile | None = None) -> Self:
        """What a template takes from both today; not yet limited to what a service uses."""
        settled = {name: getattr(settings, name) for name in TemplateSettings.model_fields}
        return cls(rendering=RENDERING, profile=profile, **settled)

    def used_by(self, engine: str, image: str, accelerator: str, *, products_are_chosen: bool) -> Self:
        """These without the rows of other engines, images and accelerators, and without an unused product label.

        Omitted rows are not recorded: a later spec that needs one uses the settings current then.
        """
        row = self.accelerators[accelerator]
        return self.model_copy(
            update={
                "default_versions": {name: v for name, v in self.default_versions.items() if name == engine},
                "images": tuple(row for row in self.images if (row.engine, row.image) == (engine, image)),
                "accelerators": {accelerator: row if products_are_chosen else row.model_copy(update=NO_PRODUCT_LABEL)},
            }
        )


@dataclass(frozen=True)
class Recorded:
    """A Deployment's record: the inputs, the hash of the template that they gave, and the user's choices that they
    answer to: the refresh, and the profile that the spec named.
    """

    inputs: TemplateInputs
    template_hash: str
    refresh: str | None
    spec_profile: str | None = None


class _Record(BaseModel):
    """The annotation's JSON."""

    inputs: TemplateInputs
    template: str
    refresh: str | None = None
    spec_profile: str | None = Field(default=None, exclude_if=lambda name: name is None)


def annotation(record: Recorded) -> str:
    """The record as the value of names.ANNOTATION_INPUTS; the same for the same record."""
    stored = _Record(
        inputs=record.inputs,
        template=record.template_hash,
        refresh=record.refresh,
        spec_profile=record.spec_profile,
    )
    return stored.model_dump_json()


def recorded(deployment: Object | None) -> Recorded | None:
    """What ``deployment`` records; None where that is missing or unreadable.

    Unknown keys are ignored: a newer operator may have written the record.
    """
    annotations = ((deployment or {}).get("metadata") or {}).get("annotations") or {}
    try:
        record = _Record.model_validate_json(annotations.get(names.ANNOTATION_INPUTS, ""), extra="ignore")
    except ValidationError:
        return None
    return Recorded(record.inputs, record.template, record.refresh, record.spec_profile)
