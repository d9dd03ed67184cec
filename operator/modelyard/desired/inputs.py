"""What a pod template takes from outside the spec, and how a Deployment remembers it.

Nothing restarts a GPU fleet but its user. The operator's arrival in a new version, a changed setting or a new default
would each change every template, and so roll every pod. Therefore a Deployment records the settings that its pods were
rendered with, and resolve.py goes on using the record as long as it gives the recorded template.
"""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ValidationError

from modelyard import names
from modelyard.api.service import Object
from modelyard.settings import Settings, TemplateSettings

RENDERING = 1
"""The newest form of pod template that this operator writes. See TemplateInputs.rendering."""

NO_PRODUCT_LABEL = {"product_label": None}


class TemplateInputs(TemplateSettings):
    """The settings that one service's template was rendered with, less the table rows that it did not use.

    ``rendering`` is the form of the template. Whoever changes how templates are rendered raises RENDERING, and keeps
    the former way for inputs with the former number (``if inputs.rendering >= 2``), so that services of the former
    release keep their pods until their user changes or refreshes them; each release's golden files hold that to be
    true. A form may be dropped once no supported release wrote it: services that still had it then roll once.

    ``cache_medium`` is recorded from the first day, so that a later default moves nobody's model.
    """

    rendering: int
    cache_medium: Literal["Ephemeral"] = "Ephemeral"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What a template takes from ``settings`` today; not yet limited to what a service uses."""
        return cls(rendering=RENDERING, **{name: getattr(settings, name) for name in TemplateSettings.model_fields})

    def used_by(self, engine: str, image: str, accelerator: str, *, products_are_chosen: bool) -> Self:
        """These without the rows of other engines, images and accelerators, and without labels that nobody looks for.

        What is left out cannot answer later: a spec that comes to need it is given the settings of that day.
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
    """A Deployment's record: the inputs, the hash of the template that they gave, and the refresh they answer to."""

    inputs: TemplateInputs
    template_hash: str
    refresh: str | None


class _Record(BaseModel):
    """The annotation's JSON."""

    inputs: TemplateInputs
    template: str
    refresh: str | None = None


def annotation(record: Recorded) -> str:
    """The record as the value of names.ANNOTATION_INPUTS; the same for the same record."""
    stored = _Record(inputs=record.inputs, template=record.template_hash, refresh=record.refresh)
    return stored.model_dump_json()


def recorded(deployment: Object | None) -> Recorded | None:
    """What ``deployment`` records; None where there is none, or somebody made it unreadable.

    Unknown keys are ignored: a newer operator may have written the record.
    """
    annotations = ((deployment or {}).get("metadata") or {}).get("annotations") or {}
    try:
        record = _Record.model_validate_json(annotations.get(names.ANNOTATION_INPUTS, ""), extra="ignore")
    except ValidationError:
        return None
    return Recorded(record.inputs, record.template, record.refresh)
