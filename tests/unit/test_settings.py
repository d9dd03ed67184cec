"""The settings file."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic_core import to_jsonable_python

from modelyard.api.settings import (
    AcceleratorType,
    ContainerResources,
    EngineImage,
    FetchProxy,
    PodSecurity,
    Settings,
    TemplateSettings,
    load,
)
from modelyard.contract.errors import InvalidError
from tests.support.rendering import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "settings.md").read_text()


def test_a_file_with_only_the_fetch_image_takes_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("fetch_image: fetch:1\n")
    assert load(file) == Settings(fetch_image="fetch:1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "wrong: fetch_image is missing: it must be set"),
        (
            "fetch_image: a\ndrain: 3\n",
            r"drain is unknown: did you mean drain_s\? The known keys are accelerators, .*, workers",
        ),
        ("fetch_image: a\nzzz: 3\n", "zzz is unknown: The known keys are"),
        ("fetch_image: a\ndrain_s: soon\n", "drain_s must be a whole number, not 'soon'"),
        ("fetch_image: a\ndrain_s: 0\n", "drain_s must be at least 1, not 0"),
        (
            "fetch_image: a\naccelerators: {amd: {resources: amd.com/gpu}}\n",
            r"accelerators.amd.resources is unknown: did you mean resource\? The known keys are product_label, re",
        ),
        ("fetch_image: a\nimages: [{engne: vllm}]\n", r"images.0.engne is unknown: did you mean engine\? "),
        ("fetch_image: a\npod_security: {run_as: 1}\n", "pod_security.run_as is unknown: .*fs_group, run_as_group"),
        (
            "fetch_image: a\naccelerators: {amd: amd.com/gpu}\n",
            "accelerators.amd must be a mapping of keys to values, not",
        ),
        (
            "fetch_image: a\ndefault_versions: {vllm: 0.32}\n",
            r"default_versions.vllm must be a text \(a number in quotes",
        ),
        ("fetch_image: a\nimages: vllm\n", "images must be a list, not 'vllm'"),
        (
            "fetch_image: a\nfetch_resources: {limits: {cpu: 1GB}}\n",
            "limits.cpu must be a quantity such as 500m or 1Gi",
        ),
        (
            "fetch_image: a\nfetch_proxy: {url: 'http://me:hunter2@proxy:3128'}\n",
            "fetch_proxy.url must be a proxy such as http://proxy.example.com:3128, without user, password and path$",
        ),
        (
            "fetch_image: a\nfetch_proxy: {url: 'http://proxy:3128', no_prox: []}\n",
            r"fetch_proxy.no_prox is unknown: did you mean no_proxy\? The known keys are no_proxy, url",
        ),
        ("- a\n", r"the whole must be a mapping of keys to values, not \['a'\]"),
        ("drain: 3\nimage: a\n", "fetch_image is missing.*; drain is unknown.*; image is unknown"),
        ("{", "cannot read"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(InvalidError, match=problem) as refused:
        load(file)
    assert refused.value.reason == "SettingsInvalid"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"absent\.yaml"):
        load(tmp_path / "absent.yaml")


def test_every_template_setting_but_the_image_has_a_default_so_that_older_records_stay_readable() -> None:
    required = {name for name, field in TemplateSettings.model_fields.items() if field.is_required()}
    assert required == {"fetch_image"}


def test_every_setting_is_documented() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, flags=re.MULTILINE)) == set(Settings.model_fields)


def test_every_key_inside_a_setting_is_documented() -> None:
    for model in (EngineImage, AcceleratorType, PodSecurity, ContainerResources, FetchProxy):
        for key in model.model_fields:
            assert re.search(rf"\b{key}\b", DOCUMENT), f"{model.__name__}.{key}"


def test_no_message_about_settings_uses_pydantics_words(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(
        "fetch_image: [a]\nimages: {}\npod_security: x\nworkers: none\nresync_s: 3.5\naccelerators: {1: x}\n"
    )
    with pytest.raises(InvalidError) as refused:
        load(file)
    assert not re.search(r"[Ii]nput|Field required|permitted|valid ", refused.value.message)


def test_documented_defaults_are_the_settings_own() -> None:
    stated = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", DOCUMENT, flags=re.MULTILINE))
    settings = Settings(fetch_image="fetch:1")
    defaults = {name: to_jsonable_python(getattr(settings, name)) for name in Settings.model_fields}
    assert len(stated) >= 9
    assert {name: yaml.safe_load(text) for name, text in stated.items()} == {name: defaults[name] for name in stated}


def test_the_documents_example_is_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(DOCUMENT.partition("```yaml\n")[2].partition("```")[0])
    assert load(file).accelerators["amd"].resource == "amd.com/gpu"
