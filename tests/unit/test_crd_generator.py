"""The generator alone: what it drops, what it keeps, and what it refuses to put into a CRD."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import ConfigDict, Field, create_model

from modelyard.api import crd
from modelyard.api.fields import ApiModel, Quantity
from modelyard.api.profile import ServingProfile
from tests.support.crd_schema import Object, nodes


class Inner(ApiModel):
    """What the type documents,
    on two lines.
    """

    name: str | None = Field(default=None, description="A name.")


def structural(model: type[ApiModel]) -> Object:
    schema = model.model_json_schema(by_alias=True)
    return crd.Inliner(schema.pop("$defs", {})).structural(schema, "")


def field(annotation: Any, **keywords: Any) -> Object:
    """The schema of one field of this type."""
    holder = create_model("Holder", __base__=ApiModel, value=(annotation, Field(description="A value.", **keywords)))
    schema: Object = structural(holder)["properties"]["value"]
    return schema


def test_a_reference_is_inlined_with_the_description_of_the_field() -> None:
    assert field(Inner) == {
        "description": "A value.",
        "type": "object",
        "properties": {"name": {"description": "A name.", "type": "string"}},
    }


def test_a_reference_without_words_of_the_field_has_the_words_of_its_type() -> None:
    class Holder(ApiModel):
        inner: Inner

    assert structural(Holder)["properties"]["inner"]["description"] == "What the type documents, on two lines."


def test_an_optional_field_has_neither_null_nor_default() -> None:
    assert field(int | None, default=None) == {"description": "A value.", "type": "integer"}


@pytest.mark.parametrize("default", [[], ["x"]])
def test_a_list_by_default_is_not_stored_in_users_objects(default: list[str]) -> None:
    assert "default" not in field(list[str], default=default)


def test_an_object_by_default_is_not_stored_in_users_objects() -> None:
    assert "default" not in field(Inner, default=Inner())


def test_a_scalar_default_is_kept() -> None:
    assert field(int, default=1)["default"] == 1


def test_a_quantity_is_int_or_string() -> None:
    quantity = field(dict[str, Quantity])["additionalProperties"]
    assert quantity["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert quantity["x-kubernetes-int-or-string"] is True


@pytest.mark.parametrize(
    ("annotation", "keyword"),
    [
        (Literal["only"], "const"),
        (Annotated[int, Field(gt=0)], "exclusiveMinimum"),
        (Annotated[int, Field(multiple_of=2)], "multipleOf"),
        (Annotated[str, Field(json_schema_extra={"examples": ["x"]})], "examples"),
        (set[str], "uniqueItems"),
        (tuple[int, int], "prefixItems"),
    ],
)
def test_a_keyword_that_no_crd_may_hold_is_named_with_its_field(annotation: Any, keyword: str) -> None:
    with pytest.raises(ValueError, match=f"^value uses .*{keyword}.* may not stand in a CRD"):
        field(annotation)


def test_a_choice_between_types_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^value has the type of either of"):
        field(int | bool)


def test_a_type_that_forbids_unknown_fields_is_refused() -> None:
    class Strict(ApiModel):
        model_config = ConfigDict(extra="forbid")

    with pytest.raises(ValueError, match="additionalProperties without a schema"):
        structural(Strict)


def test_a_field_without_description_is_refused() -> None:
    class Silent(ApiModel):
        some_name: str

    with pytest.raises(ValueError, match=r"^someName has no description"):
        structural(Silent)


def test_a_field_and_its_type_do_not_contradict_each_other() -> None:
    with pytest.raises(ValueError, match=r"^value and its type both set maxLength"):
        field(Annotated[str, Field(max_length=3)] | None, json_schema_extra={"maxLength": 4})


def test_replicas_the_bounds_of_scaling_and_the_key_of_a_ca_bundle_are_the_only_defaults() -> None:
    defaults = {place: node["default"] for place, node in nodes(crd.schema()) if "default" in node}
    assert defaults == {
        "spec.replicas": 1,
        "spec.scaling.minReplicas": 1,
        "spec.scaling.mode": "Auto",
        "spec.scaling.source": "Pods",
        "spec.scaling.schedules[].timeZone": "UTC",
        "spec.model.caBundle.key": "ca.crt",
        "spec.model.s3.caBundle.key": "ca.crt",
    }


@pytest.mark.parametrize("make", [crd.crd, crd.profile_crd])
def test_the_same_types_give_the_same_file_without_anchors(make: Callable[[], Object]) -> None:
    text = crd.render(make(), "types")
    assert text == crd.render(make(), "types")
    assert yaml.safe_load(text) == make()
    assert "&id" not in text


def test_profiles_have_no_default_that_would_pass_for_the_platform_teams_choice() -> None:
    assert [place for place, node in nodes(crd.schema(ServingProfile)) if "default" in node] == []


def test_the_text_of_each_file_names_the_module_to_edit() -> None:
    first_lines = [text.splitlines()[0] for text in crd.files().values()]
    assert [re.findall(r"api/(\w+)\.py", line) for line in first_lines] == [["inference_service"], ["profile"]]


def test_check_passes_on_what_was_just_written(tmp_path: Path) -> None:
    crd.main([], tmp_path / "crds")
    crd.main(["--check"], tmp_path / "crds")
    assert sorted(path.name for path in (tmp_path / "crds").iterdir()) == sorted(crd.files())


@pytest.mark.parametrize("name", sorted(crd.files()))
@pytest.mark.parametrize("text", [None, "kind: CustomResourceDefinition\n"], ids=["missing", "edited"])
def test_check_fails_on_a_file_that_is_missing_or_edited(tmp_path: Path, name: str, text: str | None) -> None:
    crd.main([], tmp_path)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit, match="run `make generate`"):
        crd.main(["--check"], tmp_path)


def test_the_files_in_crds_are_what_the_types_give() -> None:
    crd.main(["--check"])
