"""The settings file."""

import re
from pathlib import Path

import pytest
import yaml

from modelyard.errors import InvalidError
from modelyard.settings import Settings, TemplateSettings, load
from tests.support.rendering import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "settings.md").read_text()


def test_a_file_with_only_the_fetch_image_takes_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("fetch_image: fetch:1\n")
    assert load(file) == Settings(fetch_image="fetch:1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "fetch_image: Field required"),
        ("fetch_image: a\ndrain: 3\n", "drain: Extra inputs"),
        ("fetch_image: a\ndrain_s: soon\n", "drain_s: .*integer"),
        ("fetch_image: a\naccelerators: {amd: {resources: amd.com/gpu}}\n", "accelerators.amd.resources: Extra inputs"),
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


def test_documented_defaults_are_the_settings_own() -> None:
    stated = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", DOCUMENT, flags=re.MULTILINE))
    defaults = Settings(fetch_image="fetch:1").model_dump()
    assert len(stated) >= 9
    assert {name: yaml.safe_load(text) for name, text in stated.items()} == {name: defaults[name] for name in stated}


def test_the_documents_example_is_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(DOCUMENT.partition("```yaml\n")[2].partition("```")[0])
    assert load(file).accelerators["amd"].resource == "amd.com/gpu"
