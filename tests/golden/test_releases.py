"""Pods that a released operator made stay as they are under this one; a refresh takes what is new.

`make release-golden` keeps a release's cases and children in releases/<version>/; docs/releasing.md says when.
"""

import json
from typing import NamedTuple

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.api.settings import EngineImage, Settings
from modelyard.contract import names
from modelyard.desired.template_record import recorded
from tests.support.golden_cases import ADDED_BY_THE_SERVER
from tests.support.releases import RELEASES, Kept, kept
from tests.support.rendering import available, deployment

NEW_FETCH_IMAGE = "new.example.com/modelyard-fetch:99.0.0"
ACCELERATORS = ("nvidia", "amd", "cpu")


class Case(NamedTuple):
    """A service as the API server stores it, with the Deployment that a release made of it."""

    body: Object
    deployment: Object
    engine: str


def stored(kept: Kept) -> Case:
    body = kept.service | {"metadata": ADDED_BY_THE_SERVER | kept.service["metadata"]}
    made = next(child for child in kept.children if child["kind"] == kinds.DEPLOYMENT.kind)
    return Case(body, made, made["metadata"]["labels"][names.LABEL_APP_NAME])


def changed_settings(case: Case) -> Settings:
    """Settings with another fetch image, and another default version and image of the engine, than any release's."""
    images = [
        EngineImage(engine=case.engine, version=version, accelerator=accelerator, image=f"new/{case.engine}:v{version}")
        for version in ("99.0.0", "0.32.0", "0.31.0")
        for accelerator in ACCELERATORS
    ]
    accelerators = Settings.model_fields["accelerators"].default
    return Settings(
        fetch_image=NEW_FETCH_IMAGE,
        default_versions={case.engine: "99.0.0"},
        images=tuple(images),
        accelerators={**accelerators, "amd": accelerators["nvidia"]},
        drain_s=59,
        propagation_pause_s=9,
    )


def template_bytes(child: Object) -> str:
    return json.dumps(child["spec"]["template"], sort_keys=True)


CASES = [
    pytest.param(stored(found), id=f"{found.release}-{found.case}") for release in RELEASES for found in kept(release)
]


def test_every_release_has_its_cases_children_and_crds() -> None:
    assert RELEASES
    for release in RELEASES:
        stems = [sorted(path.name for path in (release / folder).iterdir()) for folder in ("cases", "expected")]
        assert stems[0] == stems[1] != []
        assert sorted((release / "crds").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_the_pods_of_a_release_stay_byte_for_byte_under_this_operator_and_changed_settings(case: Case) -> None:
    rendered = deployment(case.body, changed_settings(case), case.deployment)
    assert template_bytes(rendered) == template_bytes(case.deployment)
    assert rendered["spec"]["selector"] == case.deployment["spec"]["selector"]


@pytest.mark.parametrize("case", CASES)
def test_the_record_of_a_release_is_kept_for_the_operator_of_that_release_too(case: Case) -> None:
    rendered = deployment(case.body, changed_settings(case), case.deployment)
    before, after = recorded(case.deployment), recorded(rendered)
    assert before == after is not None


@pytest.mark.parametrize("case", CASES)
def test_a_refresh_takes_what_is_new_and_is_announced(case: Case) -> None:
    settings = changed_settings(case)
    update = available(case.body, settings, case.deployment)
    assert any(change.endswith(f"-> {NEW_FETCH_IMAGE}") for change in update.changes)
    asked = case.body | {"metadata": case.body["metadata"] | {"annotations": {names.ANNOTATION_REFRESH: "1"}}}
    refreshed = deployment(asked, settings, case.deployment)
    assert refreshed["spec"]["template"]["spec"]["initContainers"][0]["image"] == NEW_FETCH_IMAGE
    assert refreshed["spec"]["selector"] == case.deployment["spec"]["selector"]
    assert available(asked, settings, refreshed).changes == ()
