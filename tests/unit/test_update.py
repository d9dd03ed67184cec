"""What a refresh would change, and when that is nothing."""

from copy import deepcopy
from typing import Any

import pytest

from modelyard.api.service import Object, parse
from modelyard.api.settings import AcceleratorType, ContainerResources, EngineImage, FetchProxy, PodSecurity, Settings
from modelyard.contract import names
from modelyard.desired.metadata import fingerprint
from modelyard.desired.refresh import CHANGE_LENGTH, CHANGES_LIMIT, ORDER, Update, update
from modelyard.desired.refresh import changes as differing_places
from modelyard.integrations.engines import ENGINES
from modelyard.integrations.engines.base import Program, Serving
from modelyard.integrations.engines.vllm import Vllm
from tests.support.factories import profile, service
from tests.support.rendering import SETTINGS, available, deployment, missing, offer, resolved

NEWER = EngineImage(engine="vllm", version="0.33.0", accelerator="nvidia", image="vllm/vllm-openai:v0.33.0")
PROXY = FetchProxy(url="http://proxy.example.com:3128")
MIRROR = EngineImage(engine="vllm", version="0.32.0", accelerator="nvidia", image="mirror/vllm:v0.32.0")


def changes(settings: dict[str, Any], **spec: Any) -> tuple[str, ...]:
    """The changes that a service of SETTINGS reports once the settings are these."""
    body = service(**spec)
    update = available(body, SETTINGS.model_copy(update=settings), deployment(body, SETTINGS))
    assert update.refusal is None
    return update.changes


def profile_changes(before: Object | None, after: Object | None) -> tuple[str, ...]:
    """The changes that a service of one profile reports once it is to have the other."""
    present = deployment(service(), profile=offer(before) if before else None)
    return available(service(), SETTINGS, present, offer(after) if after else None).changes


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"fetch_image": "modelyard-fetch:0.2.0"},
            ["modelyard-fetch image modelyard-fetch:0.1.0 -> modelyard-fetch:0.2.0"],
        ),
        (
            {"default_versions": {"vllm": "0.33.0"}, "images": (NEWER,)},
            ["engine image vllm/vllm-openai:v0.32.0 -> vllm/vllm-openai:v0.33.0"],
        ),
        ({"images": (MIRROR,)}, ["engine image vllm/vllm-openai:v0.32.0 -> mirror/vllm:v0.32.0"]),
        (
            {"drain_s": 90},
            [
                "engine command --drain-s 60 -> 90",
                "engine command --shutdown-timeout changed",
                "terminationGracePeriodSeconds 85 -> 115",
            ],
        ),
        ({"startup_timeout_s": 60}, ["engine startupProbe.failureThreshold 360 -> 12"]),
        (
            {"propagation_pause_s": 5},
            ["engine command --pause-s 10 -> 5", "terminationGracePeriodSeconds 85 -> 80"],
        ),
        (
            {"pod_security": PodSecurity(run_as_user=None, run_as_group=0)},
            ["securityContext.runAsUser 65532 -> none", "securityContext.runAsGroup 65532 -> 0"],
        ),
        (
            {"accelerators": {"nvidia": AcceleratorType(resource="nvidia.com/gpu", taints=("a", "b"))}},
            ["tolerations changed"],
        ),
        (
            {"fetch_proxy": PROXY},
            [
                "modelyard-fetch env HTTP_PROXY added",
                "modelyard-fetch env HTTPS_PROXY added",
                "modelyard-fetch env NO_PROXY added",
            ],
        ),
        (
            {"fetch_resources": ContainerResources(requests={"cpu": "1", "memory": "256Mi"}, limits={"memory": "1Gi"})},
            ["modelyard-fetch resources.requests.cpu 250m -> 1", "modelyard-fetch resources.limits.cpu 4 -> none"],
        ),
        (
            {"drain_s": 90, "fetch_image": "modelyard-fetch:2"},
            [
                "modelyard-fetch image modelyard-fetch:0.1.0 -> modelyard-fetch:2",
                "engine command --drain-s 60 -> 90",
                "engine command --shutdown-timeout changed",
                "terminationGracePeriodSeconds 85 -> 115",
            ],
        ),
    ],
)
def test_a_changed_setting_is_named_by_what_it_would_change(settings: dict[str, Any], expected: list[str]) -> None:
    assert list(changes(settings)) == expected


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
def test_what_would_not_change_the_pods_is_not_reported(settings: dict[str, Any], spec: Object) -> None:
    assert changes(settings, **spec) == ()


def test_another_product_label_is_named_where_products_are_requested() -> None:
    row = SETTINGS.accelerators["nvidia"].model_copy(update={"product_label": "example.com/product"})
    settings = {"accelerators": {**SETTINGS.accelerators, "nvidia": row}}
    [change] = changes(settings, accelerator={"product": ["NVIDIA-L4"]})
    assert change.endswith("matchExpressions[].key nvidia.com/gpu.product -> example.com/product")
    assert changes(settings) == ()


def test_a_proxy_that_the_model_does_not_come_through_is_not_named_beside_what_changes() -> None:
    named = changes({"fetch_proxy": PROXY, "propagation_pause_s": 5}, model={"uri": "pvc://models/tiny"})
    assert named == ("engine command --pause-s 10 -> 5", "terminationGracePeriodSeconds 85 -> 80")


def test_images_come_first_and_beyond_a_few_changes_the_rest_is_counted() -> None:
    named = changes({"default_accelerator": "cpu"})
    assert named[0] == "engine image vllm/vllm-openai:v0.32.0 -> vllm/vllm-openai-cpu:v0.32.0"
    assert len(named) == CHANGES_LIMIT + 1
    assert named[-1] == "1 more"


def test_a_change_is_no_longer_than_its_bound() -> None:
    [change] = changes({"fetch_image": f"registry.example.com/{'long/' * 80}fetch:1"})
    assert len(change) == CHANGE_LENGTH


def template(**engine: Any) -> Object:
    """A pod template of which the engine's container has these fields."""
    made: Object = deepcopy(deployment(service())["spec"]["template"])
    made["spec"]["containers"][0] |= engine
    made["metadata"]["annotations"][names.ANNOTATION_TEMPLATE] = fingerprint(made)
    return made


def test_templates_of_one_hash_differ_in_nothing() -> None:
    assert differing_places(template(), template()) == []


def test_a_newer_form_of_template_is_named_by_its_places() -> None:
    newer = template(terminationMessagePolicy="FallbackToLogsOnError", lifecycle={"preStop": {"sleep": {"seconds": 1}}})
    assert differing_places(template(), newer) == [
        "engine terminationMessagePolicy File -> FallbackToLogsOnError",
        "engine lifecycle added",
    ]
    assert "engine lifecycle removed" in differing_places(newer, template())


def test_another_order_is_named_as_such() -> None:
    ordered = template(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    turned = template(env=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}])
    assert differing_places(ordered, turned) == [ORDER]


SMALL: Object = {
    "engine": {"type": "vllm", "args": ["--max-model-len=8192", "--enforce-eager"]},
    "startup": {"timeoutSeconds": 90},
}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            profile(**SMALL),
            profile(engine=SMALL["engine"], startup={"timeoutSeconds": 120}),
            ["engine startupProbe.failureThreshold 18 -> 24"],
        ),
        (
            profile(**SMALL),
            profile(engine={"type": "vllm", "args": ["--max-model-len=4096"]}, startup=SMALL["startup"]),
            ["engine command --max-model-len changed", "engine command --enforce-eager removed"],
        ),
        (
            None,
            profile(**SMALL),
            [
                "engine command --max-model-len added",
                "engine command --enforce-eager added",
                "engine startupProbe.failureThreshold 360 -> 18",
            ],
        ),
        (profile(startup={"timeoutSeconds": 90}), None, ["engine startupProbe.failureThreshold 18 -> 360"]),
        (
            profile(resources={"requests": {"cpu": 4}, "limits": {"memory": "1Gi"}}),
            profile(resources={"requests": {"cpu": 8}}),
            ["engine resources.limits.memory 1Gi -> none", "engine resources.requests.cpu 4 -> 8"],
        ),
        (
            profile(accelerator={"type": "nvidia", "count": 1}),
            profile(accelerator={"type": "nvidia", "count": 4}),
            ["engine command --tensor-parallel-size added", "engine resources.limits.nvidia.com/gpu 1 -> 4"],
        ),
        (profile(**SMALL), profile("gpu-large", **SMALL), []),
        (profile(**SMALL), profile(forbid=["spec.hostNetwork"], **SMALL), []),
    ],
)
def test_a_changed_profile_is_named_by_what_it_would_change(
    before: Object | None, after: Object | None, expected: list[str]
) -> None:
    assert list(profile_changes(before, after)) == expected


def test_a_variables_value_is_never_shown() -> None:
    before, after = (
        profile(engine={"type": "vllm", "env": [{"name": "LEVEL", "value": value}]})
        for value in ("secret-1", "secret-2")
    )
    assert profile_changes(before, after) == ("engine env LEVEL changed",)
    assert profile_changes(None, after) == ("engine env LEVEL added",)


@pytest.mark.parametrize("args", [["--api-key", "secret"], ["--api-key=secret"], ["--api-key", "-secret"]])
def test_of_an_engines_argument_only_the_flag_is_shown(args: list[str]) -> None:
    before, after = (profile(engine={"type": "vllm", "args": each}) for each in (["--api-key=a"], args))
    assert profile_changes(before, after) == ("engine command --api-key changed",)
    assert profile_changes(None, after) == ("engine command --api-key added",)


def test_a_refresh_clears_it() -> None:
    settings = SETTINGS.model_copy(update={"drain_s": 90})
    body = service(annotations={names.ANNOTATION_REFRESH: "1"})
    refreshed = deployment(body, settings, deployment(service()))
    assert available(body, settings, refreshed) == Update()


def test_a_refresh_that_would_be_refused_is_reported() -> None:
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
