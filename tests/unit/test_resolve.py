"""Questions that a spec leaves open, and who answers them."""

from typing import Any

import pytest

from modelyard.api.devices import DeviceRequest
from modelyard.api.settings import AcceleratorType, ContainerResources, EngineImage, Settings
from modelyard.contract.errors import InvalidError
from tests.support.factories import service
from tests.support.rendering import SETTINGS, pod_spec, resolved

ROWS = (
    EngineImage(engine="vllm", version="0.31.0", accelerator="nvidia", image="vllm:v0.31.0"),
    EngineImage(engine="vllm", version="0.32.0", accelerator="nvidia", image="vllm:v0.32.0"),
    EngineImage(engine="vllm", version="0.32.0", accelerator="cpu", image="vllm-cpu:v0.32.0"),
)
TABLE = Settings(fetch_image="fetch:1", images=ROWS)


@pytest.mark.parametrize(
    ("spec", "image", "version"),
    [
        ({}, "vllm:v0.32.0", "0.32.0"),
        ({"engine": {"version": "0.31.0"}}, "vllm:v0.31.0", "0.31.0"),
        ({"engine": {"version": "v0.31.0"}}, "vllm:v0.31.0", "0.31.0"),
        ({"engine": {"version": "v0.32.0"}, "accelerator": {"type": "cpu"}}, "vllm-cpu:v0.32.0", "0.32.0"),
        ({"accelerator": {"type": "cpu"}}, "vllm-cpu:v0.32.0", "0.32.0"),
        ({"engine": {"image": "vllm/vllm-openai:v0.30.1"}}, "vllm/vllm-openai:v0.30.1", "0.30.1"),
        ({"engine": {"image": "lmcache/vllm-openai:v0.3.9"}}, "lmcache/vllm-openai:v0.3.9", "unknown"),
        ({"engine": {"image": "mine:v0.30.1", "version": "0.29.0"}}, "mine:v0.30.1", "0.29.0"),
        ({"engine": {"image": "mine"}}, "mine", "unknown"),
    ],
)
def test_the_image_is_the_users_or_the_settings_row(spec: dict[str, Any], image: str, version: str) -> None:
    effective = resolved(service(**spec), TABLE).lead.effective()
    assert (effective.engine_image, effective.engine_version) == (image, version)


def test_a_row_whose_version_is_written_as_a_tag_is_found_by_the_number() -> None:
    row = EngineImage(engine="vllm", version="v0.33.0", accelerator="nvidia", image="vllm:v0.33.0")
    settings = TABLE.model_copy(update={"images": (row,), "default_versions": {"vllm": "0.33.0"}})
    assert resolved(service(engine={"version": "0.33.0"}), settings).lead.image == "vllm:v0.33.0"
    assert resolved(service(), settings).lead.image == "vllm:v0.33.0"


def test_a_version_written_as_a_tag_makes_the_same_pods() -> None:
    assert pod_spec(service(engine={"version": "v0.32.0"})) == pod_spec(service(engine={"version": "0.32.0"}))


@pytest.mark.parametrize(
    ("accelerator", "slice_"),
    [
        ({"resource": "nvidia.com/mig-1g.5gb", "count": 2}, r"nvidia\.com/mig-1g\.5gb"),
        ({"resource": "nvidia.com/mig-1c.3g.20gb", "count": 3}, r"nvidia\.com/mig-1c\.3g\.20gb"),
        ({"resource": "nvidia.com/mig-1g.5gb.me", "count": 2}, r"nvidia\.com/mig-1g\.5gb\.me"),
        ({"product": ["NVIDIA-A100-SXM4-40GB-MIG-3g.20gb"], "count": 2}, "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb"),
        ({"product": ["NVIDIA-L4", "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb-SHARED"], "count": 2}, "MIG-1g.10gb-SHARED"),
    ],
)
def test_several_slices_of_a_gpu_per_replica_are_refused_with_the_reason(
    accelerator: dict[str, Any], slice_: str
) -> None:
    remedy = f"{slice_} is a MIG slice: a process can use only one slice, .* Set spec.accelerator.count to 1"
    with pytest.raises(InvalidError, match=remedy) as refused:
        resolved(service(accelerator=accelerator))
    assert refused.value.reason == "InvalidSpec"


@pytest.mark.parametrize(
    "accelerator",
    [
        {"resource": "nvidia.com/mig-1g.5gb"},
        {"resource": "nvidia.com/mig-1g.5gb", "count": 1},
        {"product": ["NVIDIA-A100-SXM4-40GB-MIG-3g.20gb"]},
        {"product": ["NVIDIA-A100-SXM4-40GB"], "count": 2},
        {"type": "amd", "resource": "amd.com/cpx_nps1", "count": 2},
    ],
)
def test_one_slice_and_several_whole_devices_are_served(accelerator: dict[str, Any]) -> None:
    assert resolved(service(accelerator=accelerator)).lead.accelerator.devices.count == accelerator.get("count", 1)


@pytest.mark.parametrize(
    ("accelerator", "devices"),
    [
        ({}, DeviceRequest("nvidia.com/gpu", 1)),
        ({"resource": "example.com/gpu", "count": 3}, DeviceRequest("example.com/gpu", 3)),
        ({"product": ["A", "B"]}, DeviceRequest("nvidia.com/gpu", 1, ("A", "B"), "nvidia.com/gpu.product")),
        ({"type": "cpu"}, DeviceRequest()),
    ],
)
def test_a_replica_requests_its_devices(accelerator: dict[str, Any], devices: DeviceRequest) -> None:
    assert resolved(service(accelerator=accelerator)).lead.accelerator.devices == devices


def test_what_is_not_set_comes_from_the_settings() -> None:
    effective = resolved(service(), Settings(fetch_image="fetch:1", startup_timeout_s=77, drain_s=7)).lead.effective()
    assert effective.model_dump() == {
        "profile": None,
        "engine_type": "vllm",
        "engine_version": "0.32.0",
        "engine_image": "vllm/vllm-openai:v0.32.0",
        "accelerator_type": "nvidia",
        "accelerator_count": 1,
        "accelerator_resource": "nvidia.com/gpu",
        "accelerator_product_label": None,
        "fetch_image": "fetch:1",
        "startup_timeout_seconds": 77,
        "cache_medium": "Ephemeral",
        "drain_timeout_seconds": 7,
    }


def test_the_users_values_win_over_the_settings() -> None:
    body = service(
        startup={"timeoutSeconds": 99},
        drain={"timeoutSeconds": 9},
        accelerator={"type": "nvidia", "count": 3, "resource": "example.com/gpu"},
    )
    effective = resolved(body).lead.effective()
    assert (effective.startup_timeout_seconds, effective.drain_timeout_seconds) == (99, 9)
    assert (effective.accelerator_count, effective.accelerator_resource) == (3, "example.com/gpu")


@pytest.mark.parametrize(
    ("spec", "reason", "remedy"),
    [
        (
            {"engine": {"type": "tgi"}},
            "UnknownEngine",
            "'tgi' is not a supported engine. Use one of: triton, vllm.",
        ),
        (
            {"model": {"uri": "ftp://a/b"}},
            "UnknownSource",
            "no supported scheme. Use one of: hf://, https://, pvc://, s3://",
        ),
        ({"model": {"uri": "s3://a/b"}}, "InvalidSpec", "not a valid bucket name"),
        ({"accelerator": {"type": "tpu"}}, "UnknownAccelerator", "operator's settings, which have amd, cpu, nvidia"),
        (
            {"engine": {"version": "0.1.0"}},
            "NoEngineImage",
            "they have vllm 0.31.0 on nvidia, 0.32.0 on cpu, 0.32.0 on nvidia. .*spec.engine.image",
        ),
        (
            {"resources": {"limits": {"nvidia.com/gpu": 1}}},
            "InvalidSpec",
            "spec.resources contains nvidia.com/gpu, .*accelerator.count",
        ),
        (
            {"accelerator": {"type": "cpu"}, "resources": {"requests": {"nvidia.com/gpu": 1}}},
            "InvalidSpec",
            "spec.resources contains nvidia.com/gpu, .*accelerator.type",
        ),
        (
            {"accelerator": {"resource": "nvidia.com/mig-1g.5gb"}, "resources": {"limits": {"nvidia.com/gpu": 1}}},
            "InvalidSpec",
            "spec.resources contains nvidia.com/gpu",
        ),
        (
            {
                "accelerator": {"resource": "nvidia.com/mig-1g.5gb"},
                "resources": {"limits": {"nvidia.com/mig-1g.5gb": 1}},
            },
            "InvalidSpec",
            "spec.resources contains nvidia.com/mig-1g.5gb",
        ),
        (
            {"engine": {"env": [{"name": "POD_UID", "value": "x"}]}},
            "EngineVariableRefused",
            "POD_UID: the model's mount depends on it",
        ),
        (
            {"accelerator": {"type": "cpu"}, "resources": {"requests": {"memory": "much"}}},
            "InvalidSpec",
            "'much' is not a quantity",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(spec: dict[str, Any], reason: str, remedy: str) -> None:
    with pytest.raises(InvalidError, match=remedy) as refused:
        resolved(service(**spec), TABLE)
    assert refused.value.reason == reason


def test_an_engine_without_a_default_version_is_reported_to_have_none() -> None:
    with pytest.raises(InvalidError, match=r"no default version"):
        resolved(service(), SETTINGS.model_copy(update={"default_versions": {}}))


def test_products_name_the_label_that_they_are_looked_for_in() -> None:
    effective = resolved(service(accelerator={"type": "amd", "product": ["AMD_Instinct_MI300X_OAM"]})).lead.effective()
    assert (effective.accelerator_resource, effective.accelerator_product_label) == (
        "amd.com/gpu",
        "amd.com/gpu.product-name",
    )
    assert resolved(service()).lead.effective().accelerator_product_label is None


@pytest.mark.parametrize("accelerator", [{"count": 2}, {"resource": "nvidia.com/gpu"}])
def test_accelerators_are_refused_where_the_default_type_has_none(accelerator: dict[str, Any]) -> None:
    settings = SETTINGS.model_copy(update={"default_accelerator": "cpu"})
    with pytest.raises(InvalidError, match=r"type cpu has none.*Remove .* or set spec\.accelerator\.type"):
        resolved(service(accelerator=accelerator), settings)


def test_a_product_of_a_type_without_a_label_is_refused_with_the_setting_to_add() -> None:
    settings = SETTINGS.model_copy(update={"accelerators": {"nvidia": AcceleratorType(resource="nvidia.com/gpu")}})
    with pytest.raises(InvalidError, match=r"accelerators\.nvidia\.product_label added"):
        resolved(service(accelerator={"product": ["NVIDIA-A10G"]}), settings)


@pytest.mark.parametrize(("field", "value"), [("name", "llama"), ("aliases", ["llama"])])
def test_names_are_refused_where_an_engines_models_have_their_own(field: str, value: str | list[str]) -> None:
    named = {"uri": "s3://models/repository", field: value}
    with pytest.raises(InvalidError, match=rf"spec\.model\.{field} have no effect with triton.*remove them"):
        resolved(service(model=named, engine={"type": "triton"}))


def test_the_fetchers_resources_are_the_settings() -> None:
    small = ContainerResources(requests={"cpu": "100m"})
    fetcher = pod_spec(service(), SETTINGS.model_copy(update={"fetch_resources": small}))["initContainers"][0]
    assert fetcher["resources"] == {"requests": {"cpu": "100m"}}
