"""Pods that a released operator made stay as they are under this one; a refresh takes what is new.

`make release-golden` keeps a release's cases and children in releases/<version>/; docs/releasing.md explains when.
Besides them stands an earlier version that is made of this one, so that the mechanism is tested before the first
release, too.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import pytest

from modelyard.api.service import Object
from modelyard.api.settings import EngineImage, Settings
from modelyard.contract import names
from modelyard.desired.metadata import fingerprint
from modelyard.desired.profile_defaults import ProfileLookup
from modelyard.desired.template_record import RENDERING, recorded
from tests.support.golden_cases import ADDED_BY_THE_SERVER
from tests.support.releases import EARLIER, RELEASES, Kept, keep, read
from tests.support.rendering import available, deployment, offer

NEW_FETCH_IMAGE = "new.example.com/modelyard-fetch:99.0.0"
ACCELERATORS = ("nvidia", "amd", "cpu")


class Case(NamedTuple):
    """A service as the API server stores it, its profile, and the Deployment that a release made of it."""

    body: Object
    profile: ProfileLookup | None
    deployment: Object
    engine: str


def stored(kept: Kept) -> Case:
    body = kept.service | {"metadata": ADDED_BY_THE_SERVER | kept.service["metadata"]}
    engine = kept.deployment["metadata"]["labels"][names.LABEL_APP_NAME]
    return Case(body, offer(kept.profile) if kept.profile else None, kept.deployment, engine)


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


def rendered(case: Case) -> Object:
    """What this operator makes of the release's Deployment, with changed settings and the profile's defaults gone."""
    return deployment(case.body, changed_settings(case), case.deployment, case.profile)


CASES = [
    pytest.param(stored(kept), id=f"{kept.release}-{kept.case}")
    for release in (*RELEASES, EARLIER)
    for kept in release.services
]


def test_every_release_has_children_of_all_its_cases_and_crds() -> None:
    for release in RELEASES:
        assert release.services
        assert release.crds


def test_a_release_is_kept_whole_and_only_once(tmp_path: Path) -> None:
    keep(tmp_path / "1.2.3")
    kept = read(tmp_path / "1.2.3")
    assert [(each.case, each.service) for each in kept.services] == [(e.case, e.service) for e in EARLIER.services]
    assert all(recorded(each.deployment) for each in kept.services)
    assert kept.crds.keys() > EARLIER.crds.keys()
    with pytest.raises(FileExistsError):
        keep(tmp_path / "1.2.3")


@pytest.mark.parametrize("case", CASES)
def test_the_pods_of_a_release_stay_byte_for_byte_under_this_operator_and_changed_settings(case: Case) -> None:
    child = rendered(case)
    assert template_bytes(child) == template_bytes(case.deployment)
    assert child["spec"]["selector"] == case.deployment["spec"]["selector"]


@pytest.mark.parametrize("case", CASES)
def test_the_record_of_a_release_is_kept_for_the_operator_of_that_release_too(case: Case) -> None:
    before, after = recorded(case.deployment), recorded(rendered(case))
    assert before == after is not None


def in_another_form(case: Case) -> Case:
    """The case as a release made it that rendered one container otherwise, under the number that it has here."""
    child = deepcopy(case.deployment)
    template, annotations = child["spec"]["template"], child["metadata"]["annotations"]
    template["spec"]["containers"][0]["env"].append({"name": "FORMERLY", "value": "1"})
    about = template["metadata"]["annotations"]
    del about[names.ANNOTATION_TEMPLATE]
    about[names.ANNOTATION_TEMPLATE] = fingerprint(template)
    record = json.loads(annotations[names.ANNOTATION_INPUTS]) | {"template": about[names.ANNOTATION_TEMPLATE]}
    annotations[names.ANNOTATION_INPUTS] = json.dumps(record)
    return case._replace(deployment=child)


@pytest.mark.parametrize("case", CASES)
def test_a_changed_form_of_the_pods_without_a_new_number_is_found(case: Case) -> None:
    former = in_another_form(case)
    child = rendered(former)
    assert template_bytes(child) != template_bytes(former.deployment)
    record = recorded(child)
    assert record is not None
    assert record.inputs.rendering == RENDERING


@pytest.mark.parametrize("case", CASES)
def test_a_refresh_takes_what_is_new_and_is_announced(case: Case) -> None:
    settings = changed_settings(case)
    update = available(case.body, settings, case.deployment, case.profile)
    assert any(change.endswith(f"-> {NEW_FETCH_IMAGE}") for change in update.changes)
    annotated = case.body | {"metadata": case.body["metadata"] | {"annotations": {names.ANNOTATION_REFRESH: "1"}}}
    refreshed = deployment(annotated, settings, case.deployment, case.profile)
    assert refreshed["spec"]["template"]["spec"]["initContainers"][0]["image"] == NEW_FETCH_IMAGE
    assert refreshed["spec"]["selector"] == case.deployment["spec"]["selector"]
    assert available(annotated, settings, refreshed, case.profile).changes == ()
