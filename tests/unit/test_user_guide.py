"""docs/user-guide.md and the schema: every field is in the guide, and its examples use no field that is not there."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from modelyard.api import crd
from modelyard.desired import pod_template
from modelyard.integrations.engines import vllm
from tests.support.crd_schema import Object, nodes
from tests.support.rendering import REPOSITORY

GUIDE = (REPOSITORY / "docs" / "user-guide.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
SPEC: Object = crd.schema()["properties"]["spec"]
OWN_WORDS = "x-kubernetes-preserve-unknown-fields"


def fields() -> set[str]:
    """The last name of each field below spec."""
    return {place.rsplit(".", 1)[-1].rstrip("[]{}") for place, _ in nodes(SPEC)} - {""}


def unknown(schema: Object, value: Any, place: str) -> Iterator[str]:
    """Places in ``value`` that ``schema`` has no field for."""
    if OWN_WORDS in schema:
        return
    if isinstance(value, list):
        for item in value:
            yield from unknown(schema.get("items", {}), item, f"{place}[]")
    elif isinstance(value, dict):
        for name, held in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if inner is None:
                yield f"{place}.{name}"
            else:
                yield from unknown(inner, held, f"{place}.{name}")


@pytest.mark.parametrize("field", sorted(fields()))
def test_every_field_is_in_the_guide(field: str) -> None:
    assert re.search(rf"\b{field}\b", GUIDE)


REFUSED = {
    *pod_template.POD_FIELDS,
    *pod_template.ENGINE_FIELDS,
    *pod_template.ENGINE_RESOURCES,
    *vllm._FIXED,
    *(spellings[0] for spellings, _ in vllm._OTHER_PODS),
}


@pytest.mark.parametrize("field", sorted(REFUSED))
def test_what_is_refused_by_name_is_named_in_the_guide(field: str) -> None:
    assert re.search(rf"`[^`]*{re.escape(field)}\b[^`]*`", GUIDE)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_guides_examples_use_fields_that_there_are(block: str) -> None:
    spec = yaml.safe_load(block)["spec"]
    assert list(unknown(SPEC, spec, "spec")) == []
    assert spec


def test_the_check_of_examples_finds_a_field_that_is_not_there() -> None:
    spec = {"model": {"ur": "x"}, "engine": {"env": [{"nam": "x"}]}, "podTemplate": {"spec": {"any": 1}}}
    assert list(unknown(SPEC, spec, "spec")) == ["spec.model.ur", "spec.engine.env[].nam"]
