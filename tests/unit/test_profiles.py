"""What a profile gives to a service, who chooses it, and what it forbids."""

from typing import Any

import pytest

from modelyard.api.inference_service import InferenceServiceSpec
from modelyard.api.profile import ProfileDefaults, ServingProfileSpec
from modelyard.api.service import Object, parse
from modelyard.api.settings import EngineImage, Settings
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.desired.profile_defaults import named, taken, used_fields, with_defaults
from tests.support.factories import namespace, profile, service
from tests.support.rendering import SETTINGS, deployment, engine_command, environment, missing, offer, resolved

PROFILE: Object = {
    "engine": {
        "type": "vllm",
        "version": "0.33.0",
        "image": "registry/vllm:v0.33.0",
        "args": ["--max-model-len=8192", "--enforce-eager"],
        "env": [{"name": "LEVEL", "value": "debug"}, {"name": "MODE", "value": "a"}],
    },
    "accelerator": {"type": "nvidia", "count": 2, "resource": "example.com/gpu"},
    "resources": {"requests": {"cpu": 4, "memory": "32Gi"}, "limits": {"memory": "32Gi"}},
    "startup": {"timeoutSeconds": 600},
    "drain": {"timeoutSeconds": 90},
    "cache": {"medium": "NodeLocal"},
}
ENGINE = PROFILE["engine"]


def completed(**spec: Any) -> Object:
    """What a spec becomes with PROFILE, as its author would have written it."""
    parsed = InferenceServiceSpec.model_validate({"model": {"uri": "s3://a/b"}, **spec})
    whole = with_defaults(parsed, ProfileDefaults.model_validate(PROFILE))
    return whole.model_dump(by_alias=True, exclude_defaults=True, exclude={"model"})


def test_a_service_that_sets_nothing_gets_all() -> None:
    assert completed() == PROFILE


@pytest.mark.parametrize("section", sorted(PROFILE))
def test_what_a_service_sets_wins_over_the_profile(section: str) -> None:
    given: Object = {
        "engine": {
            "type": "vllm",
            "version": "0.32.0",
            "image": "mine:1",
            "args": ["--max-model-len=1", "--no-enforce-eager"],
            "env": [{"name": "MODE", "value": "b"}, {"name": "LEVEL", "value": "info"}],
        },
        "accelerator": {"type": "nvidia", "count": 1, "resource": "nvidia.com/gpu"},
        "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": 2}},
        "startup": {"timeoutSeconds": 60},
        "drain": {"timeoutSeconds": 5},
        "cache": {"medium": "Ephemeral"},
    }
    assert completed(**{section: given[section]}) == PROFILE | {section: given[section]}


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({"version": "0.33.0"}, ENGINE),
        ({"version": "0.32.0"}, {f: v for f, v in ENGINE.items() if f != "image"} | {"version": "0.32.0"}),
        ({"image": "mine:1"}, {f: v for f, v in ENGINE.items() if f != "version"} | {"image": "mine:1"}),
        ({"type": "triton"}, {"type": "triton"}),
        ({"args": ["--x=1"]}, ENGINE | {"args": ["--max-model-len=8192", "--enforce-eager", "--x=1"]}),
        ({"args": ["--max_model_len", "1"]}, ENGINE | {"args": ["--enforce-eager", "--max_model_len", "1"]}),
        ({"env": [{"name": "MODE"}]}, ENGINE | {"env": [{"name": "LEVEL", "value": "debug"}, {"name": "MODE"}]}),
    ],
)
def test_an_engine_is_completed_with_what_goes_with_it(given: Object, becomes: Object) -> None:
    assert completed(engine=given)["engine"] == becomes


def test_a_service_on_another_accelerator_takes_neither_its_devices_nor_the_image_made_for_it() -> None:
    cpu = completed(accelerator={"type": "cpu"})
    assert cpu["accelerator"] == {"type": "cpu"}
    assert "image" not in cpu["engine"]
    assert cpu["engine"]["version"] == "0.33.0"


def test_a_profile_that_names_no_accelerator_gives_its_image_to_every_one() -> None:
    given = ProfileDefaults.model_validate({"engine": ENGINE, "accelerator": {"count": 2}})
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "s3://a/b"}, "accelerator": {"type": "nvidia"}})
    whole = with_defaults(spec, given)
    assert (whole.engine.image, whole.accelerator.count) == (ENGINE["image"], 2)


def test_a_resource_that_a_service_names_is_wholly_its_own() -> None:
    assert completed(resources={"requests": {"memory": "64Gi"}})["resources"] == {
        "requests": {"cpu": 4, "memory": "64Gi"}
    }


def test_the_spec_itself_stays_as_its_author_wrote_it() -> None:
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "s3://a/b"}})
    before = spec.model_dump()
    with_defaults(spec, ProfileDefaults.model_validate(PROFILE))
    assert spec.model_dump() == before


def test_the_pods_and_the_status_are_made_from_it() -> None:
    gpu_small = offer(profile(**PROFILE))
    template = deployment(service(), profile=gpu_small)["spec"]["template"]["spec"]
    [engine] = template["containers"]
    assert engine["image"] == "registry/vllm:v0.33.0"
    assert "--max-model-len=8192" in engine_command(engine)
    assert environment(engine)["LEVEL"] == "debug"
    assert engine["resources"]["limits"] == {"memory": "32Gi", "example.com/gpu": "2"}
    assert template["terminationGracePeriodSeconds"] == resolved(service()).lead.inputs.propagation_pause_s + 90 + 15
    effective = resolved(service(), profile=gpu_small).lead.effective()
    assert (effective.profile, effective.drain_timeout_seconds) == ("gpu-small", 90)


def test_a_profile_stands_above_the_settings() -> None:
    row = EngineImage(engine="vllm", version="0.33.0", accelerator="nvidia", image="from-settings:v0.33.0")
    settings = SETTINGS.model_copy(update={"images": (row,), "drain_s": 30, "startup_timeout_s": 100})
    version_alone = offer(profile(engine={"type": "vllm", "version": "0.33.0"}, drain={"timeoutSeconds": 90}))
    answers = resolved(service(), settings, profile=version_alone).lead
    assert (answers.image, answers.drain_s, answers.startup_timeout_s) == ("from-settings:v0.33.0", 90, 100)


@pytest.mark.parametrize(
    ("spec", "label", "setting", "chosen"),
    [
        ("a", "b", "c", ("a", "spec.profile")),
        (None, "b", "c", ("b", f"the label {names.LABEL_PROFILE} of namespace team-a")),
        (None, None, "c", ("c", "the operator's setting default_profile")),
        (None, None, None, None),
    ],
)
def test_the_service_names_its_profile_else_its_namespace_else_the_settings(
    spec: str | None, label: str | None, setting: str | None, chosen: tuple[str, str] | None
) -> None:
    settings = Settings(fetch_image="fetch:1", default_profile=setting)
    body = service(profile=spec) if spec else service()
    for place in [namespace(profile=label), *([] if label else [None])]:
        found = named(parse(body), place, settings)
        assert (found and (found.name, found.named_by)) == chosen


def test_a_profile_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(InvalidError, match=r"spec\.profile names profile 'nope', which does not exist.*\(cpu, gpu-l"):
        resolved(service(profile="nope"), profile=missing("nope"))


def test_an_unreadable_profile_is_named_with_the_field() -> None:
    with pytest.raises(InvalidError, match=r"profile gpu-small is invalid: spec\.drain\.timeoutSeconds") as raised:
        resolved(service(), profile=offer(profile(drain={"timeoutSeconds": "soon"})))
    assert raised.value.reason == "InvalidProfile"


def test_a_refused_value_of_a_profile_is_reported_as_the_profiles() -> None:
    with pytest.raises(InvalidError, match=r"must not contain --port.*Profile gpu-small sets engine\.args\.$"):
        resolved(service(), profile=offer(profile(engine={"type": "vllm", "args": ["--port=1"]})))


def test_an_unknown_engine_in_a_profile_is_reported_as_the_profiles() -> None:
    with pytest.raises(InvalidError, match=r"'vlm' is not a supported engine.*Profile gpu-small sets engine\.type\."):
        resolved(service(), profile=offer(profile(engine={"type": "vlm"})))


def test_a_resource_that_a_profile_requests_twice_is_reported_as_the_profiles() -> None:
    twice = profile(accelerator={"type": "nvidia", "count": 2}, resources={"limits": {"nvidia.com/gpu": 2}})
    with pytest.raises(
        InvalidError, match=r"Profile gpu-small sets accelerator\.type, accelerator\.count, resources\.limits\.$"
    ):
        resolved(service(), profile=offer(twice))


def test_a_profile_is_not_blamed_for_what_the_user_sets() -> None:
    with pytest.raises(InvalidError, match=r"must not contain --port.*Remove it\.$"):
        resolved(service(engine={"args": ["--port=1"]}), profile=offer(profile(drain={"timeoutSeconds": 9})))


@pytest.mark.parametrize(
    ("template", "used"),
    [
        ({}, []),
        ({"spec": {"hostNetwork": True}}, ["spec.hostNetwork"]),
        ({"spec": {"hostNetwork": False}}, ["spec.hostNetwork"]),
        ({"spec": {"hostNetwork": None}}, []),
        ({"spec": {"volumes": [{"name": "a"}, {"name": "b", "hostPath": {}}]}}, ["spec.volumes.hostPath"]),
        ({"spec": {"volumes": "nonsense"}}, []),
        ({"metadata": {"annotations": {"a": "b"}}}, []),
    ],
)
def test_forbidden_fields_are_found_by_their_paths(template: Object, used: list[str]) -> None:
    assert used_fields(template, ["spec.hostNetwork", "spec.volumes.hostPath"]) == used


def test_what_a_profile_forbids_is_not_what_it_gives() -> None:
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "s3://a/b"}})
    applied = taken(offer(profile(forbid=["spec.hostNetwork"], drain={"timeoutSeconds": 9})), spec)
    assert applied.name == "gpu-small"
    assert set(ProfileDefaults.model_fields) == set(ServingProfileSpec.model_fields) - {"forbid"}
    assert applied.defaults == ProfileDefaults.model_validate({"drain": {"timeoutSeconds": 9}})
