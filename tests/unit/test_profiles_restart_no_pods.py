"""A profile that changes, is deleted, or is named anew restarts only the pods of a user who requested that."""

import json
from typing import Any

import pytest

from modelyard.api.service import Object
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.desired.profile_defaults import ProfileLookup
from modelyard.desired.template_record import recorded
from tests.support.factories import profile, service
from tests.support.rendering import deployment, missing, offer, resolved

OLD = Settings(fetch_image="fetch:1")
NEW = Settings(fetch_image="fetch:2", drain_s=30, startup_timeout_s=60)


def _template(child: Object) -> Object:
    template: Object = child["spec"]["template"]
    return template


GPU_SMALL = profile(drain={"timeoutSeconds": 90}, engine={"type": "vllm", "args": ["--max-model-len=8192"]})
CHANGED = profile(drain={"timeoutSeconds": 120}, engine={"type": "vllm", "args": ["--max-model-len=4096"]})
OTHER = profile("gpu-large", drain={"timeoutSeconds": 300})


def test_a_changed_profile_changes_nothing() -> None:
    present = deployment(service(), OLD, profile=offer(GPU_SMALL))
    assert deployment(service(), NEW, present, offer(CHANGED)) == present
    assert deployment(service(), NEW, profile=offer(CHANGED)) != present


@pytest.mark.parametrize("now", [None, offer(OTHER), missing("gpu-small")], ids=["none", "another", "deleted"])
def test_another_profile_by_label_or_setting_and_a_deleted_one_change_nothing(now: ProfileLookup | None) -> None:
    present = deployment(service(), OLD, profile=offer(GPU_SMALL))
    assert deployment(service(), NEW, present, now) == present
    plain = deployment(service(), OLD)
    assert deployment(service(), NEW, plain, offer(OTHER)) == plain


def test_a_deleted_profile_that_the_spec_names_changes_nothing() -> None:
    body = service(profile="gpu-small")
    present = deployment(body, OLD, profile=offer(GPU_SMALL))
    assert deployment(body, NEW, present, missing("gpu-small")) == present


def test_a_changed_spec_takes_the_present_profile() -> None:
    present = deployment(service(), OLD, profile=offer(GPU_SMALL))
    changed = deployment(service(startup={"timeoutSeconds": 77}), OLD, present, offer(CHANGED))
    assert "--max-model-len=4096" in _template(changed)["spec"]["containers"][0]["command"]


def test_a_refresh_takes_the_present_profile_once() -> None:
    present = deployment(service(), OLD, profile=offer(GPU_SMALL))
    body = service(annotations={names.ANNOTATION_REFRESH: "1"})
    refreshed = deployment(body, OLD, present, offer(CHANGED))
    assert _template(refreshed) == _template(deployment(service(), OLD, profile=offer(CHANGED)))
    assert deployment(body, OLD, refreshed, offer(OTHER)) == refreshed


@pytest.mark.parametrize(("before", "after"), [({}, {"profile": "gpu-large"}), ({"profile": "gpu-small"}, {})])
def test_a_user_who_names_another_profile_gets_it(before: dict[str, Any], after: dict[str, Any]) -> None:
    present = deployment(service(**before), OLD, profile=offer(GPU_SMALL))
    assert _template(deployment(service(**after), OLD, present, offer(OTHER))) == _template(
        deployment(service(**after), OLD, profile=offer(OTHER))
    )


def test_a_user_who_names_no_profile_any_more_goes_without() -> None:
    present = deployment(service(profile="gpu-small"), OLD, profile=offer(GPU_SMALL))
    assert _template(deployment(service(), OLD, present)) == _template(deployment(service(), OLD))


def test_a_profile_that_does_not_exist_is_reported_while_the_pods_stay() -> None:
    present = deployment(service(), OLD, profile=offer(GPU_SMALL))
    with pytest.raises(InvalidError, match="does not exist"):
        deployment(service(profile="nope"), OLD, present, missing("nope"))
    assert deployment(service(), OLD, present, missing("gpu-small")) == present


def test_a_refused_refresh_is_taken_back_by_removing_its_annotation() -> None:
    present = deployment(service(), OLD, profile=offer(GPU_SMALL))
    body = service(annotations={names.ANNOTATION_REFRESH: "1"})
    with pytest.raises(InvalidError, match="does not exist"):
        deployment(body, OLD, present, missing("gpu-small"))
    assert deployment(service(), OLD, present, missing("gpu-small")) == present


def test_writing_down_the_profile_that_already_holds_restarts_nothing_and_neither_does_taking_it_away_again() -> None:
    present = deployment(service(), OLD, profile=offer(GPU_SMALL))
    written = deployment(service(profile="gpu-small"), NEW, present, offer(CHANGED))
    again = deployment(service(), NEW, written, offer(CHANGED))
    assert _template(written) == _template(present)
    assert again == present


def test_writing_down_what_the_profile_gives_restarts_nothing() -> None:
    present = deployment(service(), OLD, profile=offer(GPU_SMALL))
    written = service(drain={"timeoutSeconds": 90}, engine={"args": ["--max-model-len=8192"]})
    assert deployment(written, NEW, present, offer(CHANGED)) == present


def test_the_record_of_a_profile_is_read_as_it_was_written_and_holds_no_more_than_it_gives() -> None:
    spec: dict[str, Any] = {
        "engine": {"type": "vllm", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        "resources": {"requests": {"cpu": 4, "memory": "32Gi"}},
        "forbid": ["spec.hostNetwork"],
    }
    answers = resolved(service(), OLD, profile=offer(profile(**spec))).lead
    present = deployment(service(), OLD, profile=offer(profile(**spec)))
    read = recorded(present)
    assert read is not None
    assert read.inputs == answers.inputs
    stored = json.loads(present["metadata"]["annotations"][names.ANNOTATION_INPUTS])
    assert stored["inputs"]["profile"] == {
        "name": "gpu-small",
        "defaults": {field: value for field, value in spec.items() if field != "forbid"},
    }


def test_a_service_without_a_profile_records_none() -> None:
    record = deployment(service(), OLD)["metadata"]["annotations"][names.ANNOTATION_INPUTS]
    assert "profile" not in record
