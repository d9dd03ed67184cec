"""What a service is told that a refresh would change, and when it is told nothing."""

from dataclasses import replace
from typing import Any

import pytest

from modelyard.api.service import Object, parse
from modelyard.api.settings import AcceleratorType, ContainerResources, EngineImage, FetchProxy, PodSecurity, Settings
from modelyard.contract import names
from modelyard.desired.refresh import FORM, Update, differences, update
from modelyard.integrations.engines import ENGINES
from modelyard.integrations.engines.base import Program, Serving
from modelyard.integrations.engines.vllm import Vllm
from tests.support.factories import profile, service
from tests.support.rendering import SETTINGS, available, deployment, missing, offer, resolved

NEWER = EngineImage(engine="vllm", version="0.33.0", accelerator="nvidia", image="vllm/vllm-openai:v0.33.0")
PROXY = FetchProxy(url="http://proxy.example.com:3128")
MIRROR = EngineImage(engine="vllm", version="0.32.0", accelerator="nvidia", image="mirror/vllm:v0.32.0")


def changes(settings: dict[str, Any], **spec: Any) -> tuple[str, ...]:
    """What a service of SETTINGS is told once these settings are others."""
    body = service(**spec)
    told = available(body, SETTINGS.model_copy(update=settings), deployment(body, SETTINGS))
    assert told.refusal is None
    return told.changes


def profile_changes(before: Object | None, after: Object | None) -> tuple[str, ...]:
    """What a service of one profile is told once it is to have the other."""
    present = deployment(service(), profile=offer(before) if before else None)
    return available(service(), SETTINGS, present, offer(after) if after else None).changes


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"fetch_image": "modelyard-fetch:0.2.0"}, ["fetch image modelyard-fetch:0.1.0 -> 0.2.0"]),
        ({"fetch_image": "mirror/fetch:1"}, ["fetch image modelyard-fetch:0.1.0 -> mirror/fetch:1"]),
        (
            {"default_versions": {"vllm": "0.33.0"}, "images": (NEWER,)},
            ["engine version 0.32.0 -> 0.33.0", "engine image vllm/vllm-openai:v0.32.0 -> v0.33.0"],
        ),
        ({"images": (MIRROR,)}, ["engine image vllm/vllm-openai:v0.32.0 -> mirror/vllm:v0.32.0"]),
        ({"drain_s": 90}, ["drain 60 s -> 90 s"]),
        ({"startup_timeout_s": 60}, ["startup 1800 s -> 60 s"]),
        ({"propagation_pause_s": 5}, ["setting propagation_pause_s 10 -> 5"]),
        (
            {"pod_security": PodSecurity(run_as_user=None, run_as_group=0)},
            ["setting pod_security.run_as_user 65532 -> none", "setting pod_security.run_as_group 65532 -> 0"],
        ),
        (
            {"accelerators": {"nvidia": AcceleratorType(resource="nvidia.com/gpu", taints=("a", "b"))}},
            ["setting accelerators.nvidia.taints nvidia.com/gpu -> a, b"],
        ),
        (
            {"fetch_proxy": PROXY},
            [
                "setting fetch_proxy.url none -> http://proxy.example.com:3128",
                "setting fetch_proxy.no_proxy none -> .svc, .cluster.local",
            ],
        ),
        (
            {"fetch_resources": ContainerResources(requests={"cpu": "1", "memory": "256Mi"}, limits={"memory": "1Gi"})},
            ["setting fetch_resources.requests.cpu 250m -> 1", "setting fetch_resources.limits.cpu 4 -> none"],
        ),
        (
            {"default_accelerator": "cpu"},
            [
                "engine image vllm/vllm-openai:v0.32.0 -> vllm/vllm-openai-cpu:v0.32.0",
                "accelerator 1 nvidia.com/gpu (nvidia) -> cpu",
            ],
        ),
        (
            {"drain_s": 90, "fetch_image": "modelyard-fetch:2"},
            ["drain 60 s -> 90 s", "fetch image modelyard-fetch:0.1.0 -> 2"],
        ),
    ],
)
def test_a_changed_setting_is_told_by_what_it_would_change(settings: dict[str, Any], told: list[str]) -> None:
    assert list(changes(settings)) == told


@pytest.mark.parametrize(
    ("settings", "spec"),
    [
        ({}, {}),
        ({"resync_s": 60, "workers": 2}, {}),
        ({"operator_namespace": "elsewhere"}, {"networkPolicy": {"from": []}}),
        ({"fetch_proxy": PROXY}, {"model": {"uri": "pvc://models/tiny"}}),
        ({"fetch_proxy": PROXY}, {"model": {"uri": "s3://models/tiny", "proxy": {"url": "http://mine:1"}}}),
        ({"default_versions": {"vllm": "0.33.0", "triton": "2.51.0"}}, {"engine": {"version": "0.32.0"}}),
        ({"images": (NEWER, *Settings.model_fields["images"].default)}, {}),
        ({"drain_s": 90}, {"drain": {"timeoutSeconds": 60}}),
        ({"startup_timeout_s": 1801}, {"startup": {"timeoutSeconds": 1800}}),
        ({"accelerators": {"nvidia": SETTINGS.accelerators["nvidia"]}}, {}),
        ({"default_accelerator": "cpu"}, {"accelerator": {"type": "nvidia"}}),
    ],
)
def test_what_would_not_change_the_pods_is_not_told(settings: dict[str, Any], spec: Object) -> None:
    assert changes(settings, **spec) == ()


def test_another_label_of_products_is_told_where_products_are_asked_for() -> None:
    row = SETTINGS.accelerators["nvidia"].model_copy(update={"product_label": "example.com/product"})
    settings = {"accelerators": {**SETTINGS.accelerators, "nvidia": row}}
    told = changes(settings, accelerator={"product": ["NVIDIA-L4"]})
    assert told == ("setting accelerators.nvidia.product_label nvidia.com/gpu.product -> example.com/product",)
    assert changes(settings) == ()


def test_a_proxy_that_the_model_does_not_come_through_is_not_told_beside_what_changes() -> None:
    assert changes({"fetch_proxy": PROXY, "drain_s": 90}, model={"uri": "pvc://models/tiny"}) == ("drain 60 s -> 90 s",)


def test_a_newer_form_of_template_is_told_as_such() -> None:
    former = resolved(service()).lead
    newer = replace(former, inputs=former.inputs.model_copy(update={"rendering": former.inputs.rendering + 1}))
    assert differences(former, newer) == [FORM]


SMALL: Object = {
    "engine": {"type": "vllm", "args": ["--max-model-len=8192", "--enforce-eager"]},
    "drain": {"timeoutSeconds": 90},
}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            profile(**SMALL),
            profile(engine=SMALL["engine"], drain={"timeoutSeconds": 120}),
            ["drain 90 s -> 120 s (profile gpu-small)"],
        ),
        (
            profile(**SMALL),
            profile(engine={"type": "vllm", "args": ["--max-model-len=4096"]}, drain=SMALL["drain"]),
            [
                "engine argument --max-model-len 8192 -> 4096 (profile gpu-small)",
                "engine argument --enforce-eager on -> none (profile gpu-small)",
            ],
        ),
        (
            None,
            profile(**SMALL),
            [
                "profile none -> gpu-small",
                "engine argument --max-model-len none -> 8192",
                "engine argument --enforce-eager none -> on",
                "drain 60 s -> 90 s",
            ],
        ),
        (profile(drain={"timeoutSeconds": 90}), None, ["profile gpu-small -> none", "drain 90 s -> 60 s"]),
        (
            profile(resources={"requests": {"cpu": 4}, "limits": {"memory": "1Gi"}}),
            profile(resources={"requests": {"cpu": 8}}),
            ["request of cpu 4 -> 8 (profile gpu-small)", "limit of memory 1Gi -> none (profile gpu-small)"],
        ),
        (
            profile(accelerator={"type": "nvidia", "count": 1}),
            profile(accelerator={"type": "nvidia", "count": 4}),
            ["accelerator 1 nvidia.com/gpu (nvidia) -> 4 nvidia.com/gpu (nvidia) (profile gpu-small)"],
        ),
        (profile(**SMALL), profile("gpu-large", **SMALL), []),
        (profile(**SMALL), profile(forbid=["spec.hostNetwork"], **SMALL), []),
    ],
)
def test_a_changed_profile_is_told_by_what_it_would_change(
    before: Object | None, after: Object | None, told: list[str]
) -> None:
    assert list(profile_changes(before, after)) == told


def test_a_variables_value_is_never_told() -> None:
    before, after = (
        profile(engine={"type": "vllm", "env": [{"name": "LEVEL", "value": value}]})
        for value in ("secret-1", "secret-2")
    )
    assert profile_changes(before, after) == ("engine variable LEVEL (profile gpu-small)",)


def test_the_value_of_an_argument_that_holds_a_secret_is_never_told() -> None:
    before, after = (profile(engine={"type": "vllm", "args": args}) for args in (["--api-key=a"], ["--api-key", "b"]))
    assert profile_changes(before, after) == ("engine argument --api-key (profile gpu-small)",)


def test_a_refresh_clears_it() -> None:
    settings = SETTINGS.model_copy(update={"drain_s": 90})
    asked = service(annotations={names.ANNOTATION_REFRESH: "1"})
    refreshed = deployment(asked, settings, deployment(service()))
    assert available(asked, settings, refreshed) == Update()


def test_a_service_that_a_refresh_would_end_in_a_refusal_is_told_that() -> None:
    gone = available(service(), SETTINGS, deployment(service(), profile=offer(profile(**SMALL))), missing("gpu-small"))
    assert gone.refusal is not None
    assert (gone.changes, gone.refusal.reason) == ((), "UnknownProfile")
    without_image = SETTINGS.model_copy(update={"images": ()})
    lost = available(service(), without_image, deployment(service()))
    assert lost.refusal is not None
    assert lost.refusal.reason == "NoEngineImage"


class Unrenderable(Vllm):
    """An engine that no template can be rendered with."""

    def program(self, serving: Serving) -> Program:
        raise AssertionError(f"rendered without need: {serving}")


def test_templates_are_not_rendered_again_where_nothing_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    body, rendered = parse(service()), resolved(service())
    monkeypatch.setitem(ENGINES, "vllm", Unrenderable())
    assert update(body, rendered, SETTINGS) == Update()
    with pytest.raises(AssertionError, match="rendered without need"):
        update(body, rendered, SETTINGS.model_copy(update={"drain_s": 90}))
