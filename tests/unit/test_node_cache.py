"""Where a pod keeps its model: on the node, or in a volume of its own."""

import re
from pathlib import Path
from typing import Any

import pytest

from modelyard.api.service import Object
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.contract.cache_layout import CacheLayout
from modelyard.contract.errors import InvalidError
from tests.support.factories import UID, profile, service
from tests.support.rendering import (
    SETTINGS,
    available,
    deployment,
    engine_container,
    environment,
    offer,
    pod_spec,
    resolved,
)

ON_NODES = SETTINGS.model_copy(update={"cache_medium": "NodeLocal"})
NODE_LOCAL: dict[str, Any] = {"cache": {"medium": "NodeLocal"}}
PREFERENCE = {
    "weight": 50,
    "preference": {"matchExpressions": [{"key": f"model.serving.modelyard.dev/{UID}", "operator": "Exists"}]},
}
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def cache_volume(spec: Object) -> Object:
    found: Object = next(volume for volume in spec["volumes"] if volume["name"] == "cache")
    return found


def medium(settings: Settings = SETTINGS, defaults: Object | None = None, **spec: Any) -> str | None:
    """What status.effective shows."""
    chosen = offer(profile(**defaults)) if defaults else None
    return resolved(service(**spec), settings, None, chosen).lead.effective().cache_medium


def test_a_cache_of_the_nodes_is_an_inline_volume_of_the_driver() -> None:
    spec = pod_spec(service(**NODE_LOCAL))
    assert cache_volume(spec) == {"name": "cache", "csi": {"driver": "cache.serving.modelyard.dev"}}
    assert environment(spec["initContainers"][0])[names.ENV_CACHE_MEDIUM] == "NodeLocal"


def test_a_cache_of_the_pods_own_is_an_empty_volume_and_the_fetcher_gets_no_setting() -> None:
    spec = pod_spec(service())
    assert cache_volume(spec) == {"name": "cache", "emptyDir": {}}
    assert names.ENV_CACHE_MEDIUM not in environment(spec["initContainers"][0])


def test_the_engine_sees_its_own_model_and_nothing_else_of_the_cache() -> None:
    mounts = pod_spec(service(**NODE_LOCAL, engine={"type": "triton"}))["containers"][0]["volumeMounts"]
    assert [mount for mount in mounts if mount["name"] == "cache"] == [
        {"name": "cache", "mountPath": "/model", "readOnly": True, "subPathExpr": "by-pod/$(POD_UID)"}
    ]


def test_the_service_is_above_its_profile_and_the_profile_above_the_settings() -> None:
    assert medium() == "Ephemeral"
    assert medium(ON_NODES) == "NodeLocal"
    assert medium(ON_NODES, {"cache": {"medium": "Ephemeral"}}) == "Ephemeral"
    assert medium(SETTINGS, {"cache": {"medium": "Ephemeral"}}, **NODE_LOCAL) == "NodeLocal"


def test_a_mounted_model_has_no_medium_whatever_the_default() -> None:
    spec = pod_spec(service(model={"uri": "pvc://claim/folder"}), ON_NODES)
    assert medium(ON_NODES, model={"uri": "pvc://claim/folder"}) is None
    assert "cache" not in [volume["name"] for volume in spec["volumes"]]
    assert "affinity" not in spec


def test_pods_would_rather_go_where_the_model_is() -> None:
    assert pod_spec(service(**NODE_LOCAL))["affinity"] == {"nodeAffinity": {PREFERRED: [PREFERENCE]}}
    assert "affinity" not in pod_spec(service())


def test_a_users_own_preferences_stay_beside_that() -> None:
    theirs = {"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}}
    affinity = {"nodeAffinity": {PREFERRED: [theirs]}, "podAntiAffinity": {}}
    spec = pod_spec(service(**NODE_LOCAL, podTemplate={"spec": {"affinity": affinity}}))
    assert spec["affinity"] == {"nodeAffinity": {PREFERRED: [theirs, PREFERENCE]}, "podAntiAffinity": {}}


def test_it_is_no_condition_so_a_requested_product_stays_the_only_one() -> None:
    spec = pod_spec(service(**NODE_LOCAL, accelerator={"product": ["NVIDIA-A10G"]}))
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    expressions = [term["matchExpressions"] for term in required["nodeSelectorTerms"]]
    assert expressions == [[{"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-A10G"]}]]
    assert spec["affinity"]["nodeAffinity"][PREFERRED] == [PREFERENCE]


def test_preferences_that_are_no_list_are_refused_by_name() -> None:
    affinity = {"nodeAffinity": {PREFERRED: "zone"}}
    with pytest.raises(InvalidError, match=r"spec.podTemplate.spec.affinity.nodeAffinity is malformed"):
        resolved(service(**NODE_LOCAL, podTemplate={"spec": {"affinity": affinity}}))


def test_another_default_moves_no_model_until_a_refresh_and_is_announced() -> None:
    present = deployment(service(), SETTINGS)
    assert deployment(service(), ON_NODES, present) == present
    assert "volumes[cache].emptyDir removed" in available(service(), ON_NODES, present).changes
    refreshed = deployment(service(annotations={names.ANNOTATION_REFRESH: "1"}), ON_NODES, present)
    assert cache_volume(refreshed["spec"]["template"]["spec"])["csi"]


def test_a_medium_that_a_profile_changes_is_announced() -> None:
    former, present = (offer(profile(cache={"medium": word})) for word in ("Ephemeral", "NodeLocal"))
    made = deployment(service(), SETTINGS, None, former)
    assert "volumes[cache].emptyDir removed" in available(service(), SETTINGS, made, present).changes


def test_writing_down_the_medium_that_pods_have_restarts_nothing() -> None:
    present = deployment(service(), SETTINGS)
    assert deployment(service(cache={"medium": "Ephemeral"}), ON_NODES, present) == present


def test_what_is_prefetched_is_in_no_template() -> None:
    present = deployment(service(**NODE_LOCAL), SETTINGS)
    prefetched = service(cache={"medium": "NodeLocal", "prefetch": 4, "prefetchNodeSelector": {"pool": "gpu"}})
    assert deployment(prefetched, SETTINGS, present) == present


def compile_key(settings: Settings = SETTINGS, **spec: Any) -> str:
    """The folder of what a NodeLocal service compiles."""
    found = environment(pod_spec(service(**NODE_LOCAL | spec), settings)["initContainers"][0])
    return str(found[names.ENV_COMPILE_KEY])


def test_what_vllm_compiles_is_kept_beside_the_model_in_a_folder_that_both_containers_know() -> None:
    engine = engine_container(service(**NODE_LOCAL))
    assert {"name": "cache", "mountPath": "/compile", "subPath": f"compile/{compile_key()}"} in engine["volumeMounts"]
    launchers = engine["command"][: engine["command"].index("--")]
    assert "--compile-cache=/compile" in launchers
    assert f"--engine-cache={environment(engine)['VLLM_CACHE_ROOT']}/torch_compile_cache" in launchers
    assert CacheLayout(Path("/cache")).compile_cache(compile_key()) == Path("/cache/compile") / compile_key()


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"uri": "s3://models/other"}},
        {"model": {"uri": "s3://models/smollm2-135m", "revision": "2"}},
        {"model": {"uri": "s3://models/smollm2-135m", "digest": f"sha256:{'1' * 64}"}},
        {"engine": {"image": "mine:v1.0"}},
        {"engine": {"args": ["--max-model-len=1"]}},
        {"accelerator": {"type": "cpu"}},
        {"accelerator": {"count": 2}},
        {"accelerator": {"product": ["NVIDIA-A10G"]}},
        {"accelerator": {"resource": "nvidia.com/mig-1g.5gb"}},
    ],
)
def test_what_is_compiled_from_something_else_has_another_folder(spec: dict[str, Any]) -> None:
    assert compile_key(**spec) != compile_key()


@pytest.mark.parametrize(
    "spec", [{"replicas": 5}, {"drain": {"timeoutSeconds": 9}}, {"resources": {"requests": {"cpu": 1}}}]
)
def test_what_compiling_does_not_depend_on_leaves_the_folder(spec: dict[str, Any]) -> None:
    key = compile_key(**spec)
    assert key == compile_key()
    assert re.fullmatch(r"[0-9a-f]{32}", key)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"cache": {"medium": "Ephemeral"}},
        NODE_LOCAL | {"engine": {"type": "triton"}},
        NODE_LOCAL | {"engine": {"env": [{"name": "VLLM_CACHE_ROOT", "value": "/mine"}]}},
    ],
)
def test_nothing_is_kept_of_other_engines_of_pods_alone_and_where_the_user_keeps_it(spec: dict[str, Any]) -> None:
    body = service(**spec)
    assert names.ENV_COMPILE_KEY not in environment(pod_spec(body)["initContainers"][0])
    assert "/compile" not in [mount["mountPath"] for mount in engine_container(body)["volumeMounts"]]
    assert not [word for word in engine_container(body)["command"] if word.startswith("--compile-cache")]
