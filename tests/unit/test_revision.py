"""The ConfigMap that holds every pod of a revision to one content."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from modelyard.api import kinds
from modelyard.api.inference_service import Model
from modelyard.api.service import Object, parse
from modelyard.contract import names
from modelyard.desired import content_pin, desired
from tests.support.factories import service
from tests.support.rendering import environment, pod_spec, resolved

ONE, OTHER = (f"sha256:{digit * 64}" for digit in "12")
DIGEST = f"sha256:{'3' * 64}"
NODE_LOCAL = {"cache": {"medium": "NodeLocal"}}


def config_map(contents: Mapping[str, str], **spec: Any) -> Object | None:
    """The ConfigMap of a service with this spec, of which so much is known."""
    children = desired(replace(resolved(service(**spec)), contents=contents))
    return next((child for child in children if kinds.of(child) == kinds.CONFIG_MAP), None)


def data(contents: Mapping[str, str], **spec: Any) -> Any:
    found = config_map(contents, **spec)
    assert found is not None
    return found["data"]


def key(**model: str) -> str:
    return content_pin.key(Model.model_validate({"uri": "s3://models/smollm2-135m", **model}))


def fetcher(**spec: Any) -> Object:
    container: Object = pod_spec(service(**spec))["initContainers"][0]
    return container


def test_a_key_is_of_the_uri_and_the_revision() -> None:
    keys = {key(), key(revision="2"), key(uri="s3://models/other"), key(uri="s3://models/other", revision="2")}
    assert len(keys) == 4
    assert all(len(found) == 16 for found in keys)
    assert key() == key(digest=DIGEST, name="other")


def test_a_pod_gets_its_key_and_finds_its_file_where_the_config_map_is_mounted() -> None:
    container, spec = fetcher(), pod_spec(service())
    assert environment(container)[names.ENV_REVISION_KEY] == key()
    assert {"name": "revision", "mountPath": names.PATH_REVISION, "readOnly": True} in container["volumeMounts"]
    assert {"name": "revision", "configMap": {"name": "smollm-model", "optional": True}} in spec["volumes"]


def test_what_is_known_of_contents_changes_no_template() -> None:
    def template(contents: dict[str, str]) -> Object:
        children = desired(replace(resolved(service()), contents=contents))
        found: Object = next(child for child in children if kinds.of(child) == kinds.DEPLOYMENT)["spec"]["template"]
        return found

    assert template({}) == template({key(): ONE})


def test_content_that_the_user_pins_is_the_only_one_accepted() -> None:
    container = fetcher(model={"uri": "s3://models/x", "digest": DIGEST})
    assert environment(container)[names.ENV_MODEL_DIGEST] == DIGEST
    assert names.ENV_REVISION_KEY not in environment(container)
    assert "revision" not in [mount["name"] for mount in container["volumeMounts"]]


def test_before_anything_is_verified_it_is_there_and_empty() -> None:
    assert data({}) == {}


def test_it_holds_what_was_verified() -> None:
    assert data({key(): ONE, key(revision="2"): OTHER}) == {key(): ONE, key(revision="2"): OTHER}


def test_what_is_known_never_changes() -> None:
    known = {key(): ONE}
    assert content_pin.with_verified(known, {key(): OTHER, key(revision="2"): OTHER}) == known | {
        key(revision="2"): OTHER
    }


def test_what_pods_report_is_accepted_only_in_our_form() -> None:
    assert content_pin.with_verified({}, {"../../etc": ONE, key(): "none"}) == {}


def test_what_it_holds_is_read_again_in_its_order() -> None:
    held = {f"{number:016x}": ONE for number in (3, 1, 2)} | {key(): OTHER}
    found = config_map(held)
    assert found is not None
    sorted_by_the_server = found | {"data": dict(sorted(found["data"].items()))}
    assert list(content_pin.contents(sorted_by_the_server)) == list(held)


def test_the_oldest_are_forgotten_and_never_that_of_the_present_revision() -> None:
    held = {key(): ONE} | {f"{number:016x}": OTHER for number in range(20)}
    kept = data(held)
    assert len(kept) == content_pin.KEPT
    assert list(kept) == [*(f"{number:016x}" for number in range(11, 20)), key()]


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"data": None, "metadata": {"annotations": None}},
        {"data": {"theirs": ONE, "0" * 16: "none", "1" * 16: f"{ONE}\n"}, "metadata": {}},
    ],
)
def test_what_we_did_not_write_is_left_out(body: Object | None) -> None:
    assert content_pin.contents(body) == {}


def test_a_key_that_the_order_lacks_is_the_first_to_be_forgotten() -> None:
    held = {"0" * 16: ONE, "1" * 16: ONE, "2" * 16: ONE}
    annotations = {names.ANNOTATION_REVISIONS: f"{'2' * 16},{'0' * 16}"}
    assert list(content_pin.contents({"data": held, "metadata": {"annotations": annotations}})) == [
        "1" * 16,
        "2" * 16,
        "0" * 16,
    ]


@pytest.mark.parametrize("spec", [{"model": {"uri": "pvc://claim/folder"}}])
def test_a_mounted_model_has_none_but_keeps_what_there_is(spec: dict[str, Any]) -> None:
    assert config_map({}, **spec) is None
    assert data({"0" * 16: ONE}, **spec) == {"0" * 16: ONE}


def test_its_name_fits_a_label_for_the_longest_name_of_a_service() -> None:
    assert len(content_pin.config_map_name("a" * names.NAME_LENGTH)) <= 63
    assert parse(service(name="a" * names.NAME_LENGTH)).key.name == "a" * names.NAME_LENGTH
