"""Nodes that get the model ahead of the pods: one Job at a time, which stays when it is over, as what is remembered."""

import itertools
import json
from collections.abc import Callable

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from tests.support import factories
from tests.support.conditions import condition
from tests.support.in_memory_cluster import CrashError, InMemoryCluster
from tests.support.prefetching import (
    JOB,
    KEY,
    complete,
    gpu_node,
    holding,
    hosts,
    job_of,
    pod_of,
    prefetch_status,
    prefetching_service,
    time_of,
    warm,
)
from tests.support.running_operator import RunningOperator

NODES = ("gpu-1", "gpu-2", "gpu-3")
PAUSE_S = 600
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
async def prefetching(cluster: InMemoryCluster, operator: RunningOperator) -> RunningOperator:
    """The operator once its Job for two of three nodes is there."""
    for name in NODES:
        cluster.put(gpu_node(name))
    cluster.put(prefetching_service(2))
    await operator.run()
    return operator


@pytest.fixture
async def prefetched(cluster: InMemoryCluster, prefetching: RunningOperator) -> RunningOperator:
    """The operator once two nodes are warm, and labelled."""
    warm(cluster, "gpu-1", "gpu-2")
    complete(cluster, prefetching)
    await prefetching.run(for_s=1)
    label(cluster, "gpu-1", "gpu-2")
    cluster.calls.clear()
    return prefetching


def label(cluster: InMemoryCluster, *names_: str) -> None:
    for name in names_:
        cluster.put(holding(gpu_node(name)))


def change_spec(cluster: InMemoryCluster, change: dict[str, object]) -> None:
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(change))


def events(cluster: InMemoryCluster) -> list[str]:
    return [event["reason"] for event in cluster.events]


@pytest.mark.usefixtures("prefetching")
async def test_a_job_is_made_for_as_many_nodes_as_requested(cluster: InMemoryCluster) -> None:
    job = job_of(cluster)
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (2, 2)
    assert hosts(job) == list(NODES)
    assert job["metadata"]["ownerReferences"][0]["uid"] == factories.UID
    found = prefetch_status(cluster)
    assert (found["desired"], found["ready"], found["reason"]) == (2, 0, "Prefetching")
    assert "finishedAt" not in found


async def test_a_job_at_work_is_left_alone_whatever_becomes_of_the_nodes(
    cluster: InMemoryCluster, prefetching: RunningOperator
) -> None:
    before = job_of(cluster)
    cluster.put(gpu_node("gpu-0"))
    cluster.put(gpu_node("gpu-3", ready=False))
    warm(cluster, "gpu-1")
    await prefetching.run(for_s=120)
    assert job_of(cluster) == before
    assert prefetch_status(cluster)["ready"] == 1


async def test_a_finished_job_is_reported_and_stays(cluster: InMemoryCluster, prefetching: RunningOperator) -> None:
    warm(cluster, "gpu-1", "gpu-2")
    complete(cluster, prefetching)
    ended_at = time_of(prefetching)
    cluster.calls.clear()
    await prefetching.run(for_s=1)
    assert {call.verb for call in cluster.writes} == {"patch_status", "create_event"}
    assert job_of(cluster)["status"]
    found = prefetch_status(cluster)
    assert (found["desired"], found["ready"], found["reason"]) == (2, 2, "Prefetched")
    assert [(node["name"], node["state"]) for node in found["nodes"]] == [("gpu-1", "Ready"), ("gpu-2", "Ready")]
    assert found["finishedAt"] == ended_at
    assert events(cluster).count("Prefetched") == 1


async def test_nothing_is_made_again_while_the_nodes_hold_the_model(
    cluster: InMemoryCluster, prefetched: RunningOperator
) -> None:
    await prefetched.run(for_s=3 * PAUSE_S)
    await prefetched.resync()
    await prefetched.run(for_s=1)
    assert cluster.writes == []


async def test_a_restarted_operator_makes_nothing_again(cluster: InMemoryCluster, prefetched: RunningOperator) -> None:
    restarted = RunningOperator(cluster)
    restarted.clock.advance(prefetched.clock.time())
    await restarted.resync()
    await restarted.run(for_s=PAUSE_S + 60)
    assert cluster.writes == []


async def test_evicted_models_are_fetched_again_after_a_pause_and_reported(
    cluster: InMemoryCluster, prefetched: RunningOperator
) -> None:
    cluster.put(gpu_node("gpu-2"))
    before = job_of(cluster)
    await prefetched.run(for_s=PAUSE_S / 2)
    assert job_of(cluster) == before
    await prefetched.run(for_s=PAUSE_S / 2 + 60)
    job = job_of(cluster)
    assert job["spec"]["completions"] == 1
    assert hosts(job) == ["gpu-2", "gpu-3"]
    assert "PrefetchLost" in events(cluster)
    warm(cluster, "gpu-3")
    complete(cluster, prefetched)
    await prefetched.run(for_s=1)
    assert job_of(cluster)["metadata"]["uid"] == job["metadata"]["uid"]
    found = prefetch_status(cluster)
    assert (found["ready"], found["reason"]) == (2, "Prefetched")


async def test_a_cache_that_is_too_small_is_filled_no_more_often_than_every_ten_minutes(
    cluster: InMemoryCluster, prefetched: RunningOperator
) -> None:
    made = {job_of(cluster)["metadata"]["uid"]}
    for _ in range(6):
        cluster.put(gpu_node("gpu-2"))
        cluster.put(gpu_node("gpu-3"))
        await prefetched.run(for_s=PAUSE_S / 2)
        if "status" not in job_of(cluster):
            made.add(job_of(cluster)["metadata"]["uid"])
            warm(cluster, "gpu-2")
            complete(cluster, prefetched)
            await prefetched.run(for_s=1)
    assert 3 <= len(made) <= 4


async def test_missing_labels_mean_nothing_where_no_node_has_any(
    cluster: InMemoryCluster, prefetched: RunningOperator
) -> None:
    for name in NODES:
        cluster.put(gpu_node(name))
    await prefetched.run(for_s=2 * PAUSE_S)
    assert cluster.writes == []


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"uri": "s3://models/smollm2-135m", "revision": "2"}},
        {"engine": {"image": "registry.example.com/vllm:0.33.0"}},
        {"cache": {"medium": "NodeLocal", "prefetch": 3}},
    ],
    ids=["model", "image", "number"],
)
async def test_something_else_to_bring_is_brought_at_once(
    cluster: InMemoryCluster, prefetched: RunningOperator, change: dict[str, object]
) -> None:
    change_spec(cluster, change)
    await prefetched.run(for_s=1)
    assert hosts(job_of(cluster)) == ["gpu-1", "gpu-2", "gpu-3"]
    found = prefetch_status(cluster)
    assert (found["ready"], found["reason"]) == (0, "Prefetching")


async def test_what_does_not_reach_the_nodes_brings_nothing_anew(
    cluster: InMemoryCluster, prefetched: RunningOperator
) -> None:
    change_spec(cluster, {"replicas": 5, "drain": {"timeoutSeconds": 99}})
    await prefetched.run(for_s=1)
    assert {call.kind for call in cluster.writes if call.verb == "apply"} == {kinds.DEPLOYMENT}


async def test_another_job_takes_the_place_of_one_for_something_else(
    cluster: InMemoryCluster, prefetching: RunningOperator
) -> None:
    before = job_of(cluster)
    change_spec(cluster, {"model": {"uri": "s3://models/smollm2-135m", "revision": "2"}})
    await prefetching.run(for_s=1)
    after = job_of(cluster)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["template"] != before["spec"]["template"]
    assert prefetching.failures == []


async def test_a_job_that_goes_slowly_is_waited_for(cluster: InMemoryCluster, prefetching: RunningOperator) -> None:
    """As one that is deleted in the foreground: it goes when its pods are gone."""

    def delete_in_the_foreground(body: Object) -> None:
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    before = job_of(cluster)
    cluster.edit(kinds.JOB, JOB, delete_in_the_foreground)
    change_spec(cluster, {"model": {"uri": "s3://models/smollm2-135m", "revision": "2"}})
    await prefetching.run(for_s=60)
    assert job_of(cluster)["metadata"]["uid"] == before["metadata"]["uid"]
    assert condition(cluster, "Accepted")["reason"] == "Accepted"
    cluster.remove(kinds.JOB, JOB)
    await prefetching.run(for_s=1)
    assert job_of(cluster)["metadata"]["uid"] != before["metadata"]["uid"]


async def test_a_job_that_is_edited_is_reverted_and_not_made_anew(
    cluster: InMemoryCluster, prefetching: RunningOperator
) -> None:
    before = job_of(cluster)
    cluster.edit(kinds.JOB, JOB, lambda body: body["spec"].update(parallelism=0))
    await prefetching.run(for_s=1)
    after = job_of(cluster)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_job_that_is_deleted_is_made_again(cluster: InMemoryCluster, prefetching: RunningOperator) -> None:
    cluster.remove(kinds.JOB, JOB)
    await prefetching.run(for_s=1)
    assert hosts(job_of(cluster)) == list(NODES)


async def test_nothing_is_left_when_prefetching_is_no_longer_requested(
    cluster: InMemoryCluster, prefetching: RunningOperator
) -> None:
    cluster.put(pod_of(job_of(cluster), "prefetching", node="gpu-1"))
    change_spec(cluster, {"cache": {"medium": "NodeLocal"}})
    await prefetching.run(for_s=1)
    assert cluster.see(kinds.JOB, JOB) is None
    assert cluster.see_all(kinds.POD) == []
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    assert "prefetch" not in service["status"]


async def test_a_service_without_replicas_is_prefetched(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(gpu_node("gpu-1"))
    cluster.put(prefetching_service(1, replicas=0))
    await operator.run()
    assert hosts(job_of(cluster)) == ["gpu-1"]
    assert condition(cluster, "Ready")["reason"] == "ScaledToZero"


async def test_a_paused_service_gets_no_job(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(gpu_node("gpu-1"))
    cluster.put(prefetching_service(1, annotations={names.ANNOTATION_PAUSED: "true"}))
    await operator.run(for_s=60)
    assert cluster.see(kinds.JOB, JOB) is None


async def test_the_status_of_prefetching_stays_while_a_service_is_paused(
    cluster: InMemoryCluster, prefetched: RunningOperator
) -> None:
    before = prefetch_status(cluster)
    cluster.edit(
        kinds.INFERENCE_SERVICE,
        KEY,
        lambda body: body["metadata"].update(annotations={names.ANNOTATION_PAUSED: "true"}),
    )
    await prefetched.run(for_s=1)
    assert prefetch_status(cluster) == before


async def test_pods_that_prefetch_are_no_replicas(cluster: InMemoryCluster, prefetching: RunningOperator) -> None:
    pod = pod_of(job_of(cluster), "prefetching", node="gpu-1", phase="Running")
    pod["status"]["conditions"].append({"type": "Ready", "status": "True"})
    pod["status"]["containerStatuses"] = [{"name": names.CONTAINER_ENGINE, "state": {"running": {}}, "ready": True}]
    cluster.put(pod)
    await prefetching.run(for_s=1)
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    assert (service["status"]["replicas"], service["status"]["readyReplicas"]) == (0, 0)


async def test_what_pods_that_prefetch_verified_is_the_models_content_for_all_that_follow(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(gpu_node("gpu-1"))
    cluster.put(prefetching_service(1, replicas=0))
    await operator.run()
    report = {
        "digest": DIGEST,
        "bytesTotal": 270,
        "fetchedBytes": 270,
        "seconds": 3.2,
        "uri": "s3://models/smollm2-135m",
    }
    pod = pod_of(job_of(cluster), "prefetching", node="gpu-1", phase="Succeeded")
    ended = {"exitCode": 0, "message": json.dumps(report), "finishedAt": "2026-01-01T00:00:00Z"}
    pod["status"]["initContainerStatuses"] = [{"name": names.CONTAINER_FETCH, "state": {"terminated": ended}}]
    cluster.put(pod)
    await operator.run(for_s=1)
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    model = service["status"]["model"]
    assert (model["digest"], model["sizeBytes"]) == (DIGEST, 270)
    assert model["nodes"] == [{"name": "gpu-1", "result": "Fetched", "seconds": 3, "fetchedBytes": 270}]
    complete(cluster, operator)
    await operator.run(for_s=60)
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    assert service["status"]["model"] == model
    [kept] = [body["data"] for body in cluster.see_all(kinds.CONFIG_MAP)]
    assert list(kept.values()) == [DIGEST]


async def test_fewer_nodes_than_requested_are_reported_and_those_that_join_are_used(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(gpu_node("gpu-1"))
    cluster.put(gpu_node("tainted", taint="maintenance"))
    cluster.put(gpu_node("without", gpus=0))
    cluster.put(prefetching_service(3))
    await operator.run()
    assert (job_of(cluster)["spec"]["completions"], hosts(job_of(cluster))) == (1, ["gpu-1"])
    warm(cluster, "gpu-1")
    complete(cluster, operator)
    await operator.run(for_s=1)
    label(cluster, "gpu-1")
    found = prefetch_status(cluster)
    assert (found["desired"], found["ready"], found["reason"]) == (3, 1, "PrefetchLacksNodes")
    assert "untolerated taint maintenance:NoSchedule" in found["message"]
    cluster.put(gpu_node("gpu-8"))
    await operator.run(for_s=90)
    assert hosts(job_of(cluster)) == ["gpu-8"]
    warm(cluster, "gpu-8")
    complete(cluster, operator)
    await operator.run(for_s=2 * PAUSE_S)
    assert prefetch_status(cluster)["ready"] == 1  # the label of gpu-8 is gone by now, or never came
    assert hosts(job_of(cluster)) == ["gpu-8"]


async def test_no_node_at_all_is_reported_and_the_first_one_is_used(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(prefetching_service(1))
    await operator.run()
    assert prefetch_status(cluster)["reason"] == "PrefetchLacksNodes"
    cluster.put(gpu_node("gpu-1"))
    await operator.run(for_s=90)
    assert hosts(job_of(cluster)) == ["gpu-1"]


async def test_every_node_with_the_labels_is_prefetched_on_where_no_number_is_given(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    for name in NODES:
        cluster.put(gpu_node(name, pool="gpu" if name != "gpu-3" else "other"))
    cluster.put(prefetching_service(None, selector={"pool": "gpu"}))
    await operator.run()
    assert hosts(job_of(cluster)) == ["gpu-1", "gpu-2"]
    assert job_of(cluster)["spec"]["completions"] == 2


async def test_nodes_whose_pods_serve_need_no_job(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    for name in NODES:
        cluster.put(gpu_node(name))
    cluster.put(prefetching_service(None))
    await operator.run()
    for node in ("gpu-2", "gpu-3"):
        cluster.put(serving_pod(cluster, node))
    change_spec(cluster, {"cache": {"medium": "NodeLocal", "prefetch": 2}})
    await operator.run(for_s=1)
    assert cluster.see(kinds.JOB, JOB) is None
    found = prefetch_status(cluster)
    assert (found["ready"], found["reason"]) == (2, "Prefetched")
    change_spec(cluster, {"cache": {"medium": "NodeLocal", "prefetch": 3}})
    await operator.run(for_s=1)
    assert (job_of(cluster)["spec"]["completions"], hosts(job_of(cluster))) == (1, ["gpu-1"])


def serving_pod(cluster: InMemoryCluster, node: str) -> Object:
    """A pod of the service that runs on the node."""
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    pod = factories.pod(name=f"smollm-{node}", uid=f"uid-on-{node}", spec={"nodeName": node})
    pod["metadata"]["annotations"] = deployment["spec"]["template"]["metadata"]["annotations"]
    return pod | {"status": {"phase": "Running", "containerStatuses": [{"name": "engine", "state": {"running": {}}}]}}


async def test_another_job_follows_at_once_for_nodes_that_the_first_did_not_reach(
    cluster: InMemoryCluster, prefetching: RunningOperator
) -> None:
    """The scheduler may give a node whose pod is over to the next pod of the Job."""
    warm(cluster, "gpu-1")
    complete(cluster, prefetching)
    await prefetching.run(for_s=1)
    job = job_of(cluster)
    assert (job["spec"]["completions"], hosts(job)) == (1, ["gpu-2", "gpu-3"])
    assert prefetch_status(cluster)["ready"] == 1


async def test_a_job_whose_pods_find_no_node_is_given_up_for_a_while(
    cluster: InMemoryCluster, prefetching: RunningOperator
) -> None:
    for name in ("one", "other"):
        cluster.put(pod_of(job_of(cluster), name, refused_at=time_of(prefetching)))
    await prefetching.run(for_s=60)
    assert prefetch_status(cluster)["reason"] == "Unschedulable"
    before = job_of(cluster)
    await prefetching.run(for_s=300)
    assert job_of(cluster) == before
    found = prefetch_status(cluster)
    assert found["reason"] == "Unschedulable"
    assert "next attempt is in 10 minutes" in found["message"]
    await prefetching.run(for_s=PAUSE_S + 60)
    assert job_of(cluster)["metadata"]["uid"] != before["metadata"]["uid"]


def over(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    warm(cluster, "gpu-1", "gpu-2")
    complete(cluster, operator)


def another_revision(cluster: InMemoryCluster, _: RunningOperator) -> None:
    change_spec(cluster, {"model": {"uri": "s3://models/smollm2-135m", "revision": "2"}})


def no_longer_requested(cluster: InMemoryCluster, _: RunningOperator) -> None:
    change_spec(cluster, {"cache": {"medium": "NodeLocal"}})


def half_reached(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    warm(cluster, "gpu-1")
    complete(cluster, operator)


CHANGES = {
    "over": (over, "Prefetched", 2),
    "another revision": (another_revision, "Prefetching", 2),
    "no longer requested": (no_longer_requested, "", 0),
    "half reached": (half_reached, "Prefetching", 1),
}


@pytest.mark.parametrize(("change", "reason", "completions"), CHANGES.values(), ids=CHANGES)
async def test_an_operator_that_dies_at_any_call_comes_to_the_same_end(
    change: Callable[[InMemoryCluster, RunningOperator], None], reason: str, completions: int
) -> None:
    for call in itertools.count():
        cluster, operator = await one_at_work()
        change(cluster, operator)
        cluster.crash_at(call)
        try:
            await operator.run(for_s=1)
        except CrashError:
            cluster.revive()
        else:
            break
        restarted = RunningOperator(cluster)
        restarted.clock.advance(operator.clock.time())
        await restarted.resync()
        await restarted.run(for_s=1)
        service, job = cluster.see(kinds.INFERENCE_SERVICE, KEY), cluster.see(kinds.JOB, JOB)
        assert service is not None
        assert service["status"].get("prefetch", {}).get("reason", "") == reason, call
        # A crash between a Job's deletion and its successor forgets which nodes are warm: all are looked at again.
        assert completions <= (job["spec"]["completions"] if job else 0) <= 2 * bool(completions), call
    assert call >= 2


async def one_at_work() -> tuple[InMemoryCluster, RunningOperator]:
    """An operator whose Job for two of three nodes is there."""
    cluster = InMemoryCluster()
    operator = RunningOperator(cluster)
    for name in NODES:
        cluster.put(gpu_node(name))
    cluster.put(prefetching_service(2))
    await operator.run()
    return cluster, operator


async def test_an_operator_that_dies_while_it_makes_the_job_makes_it_once() -> None:
    for call in itertools.count():
        cluster = InMemoryCluster()
        operator = RunningOperator(cluster)
        for name in NODES:
            cluster.put(gpu_node(name))
        cluster.put(prefetching_service(2))
        cluster.crash_at(call)
        try:
            await operator.run()
        except CrashError:
            cluster.revive()
        else:
            break
        restarted = RunningOperator(cluster)
        await restarted.resync()
        await restarted.run()
        assert len(cluster.see_all(kinds.JOB)) == 1, call
        assert prefetch_status(cluster)["reason"] == "Prefetching", call
    assert call > 5
