"""Pods that find no node, or whose node fails them."""

from modelyard.api.service import Object
from tests.support.observed import (
    GPU,
    OLD,
    World,
    ago,
    conditions,
    loading,
    node,
    pod,
    running,
    serving,
    target,
)

NO_GPU = (
    "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu. "
    "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
)
TAKEN = {"worker-1": 3, "worker-2": 4}
NODES = (node("worker-1", gpus=4), node("worker-2", gpus=4), node("control-plane"))


def over(reason: str, message: str) -> Object:
    """A pod that the kubelet gave up."""
    failed = pod(phase="Failed", begun_s=30)
    failed["status"] |= {"reason": reason, "message": message}
    return failed


UNDER_WAY = {
    "a pod waits for the scheduler": (
        World({"metadata": pod()["metadata"]}),
        "Scheduling",
        "waiting to be scheduled",
    ),
    "a claim waits for its provisioner": (
        World({"metadata": pod()["metadata"], "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "big"}}]}}),
        "Scheduling",
        "Claim big may be waiting for its provisioner",
    ),
    "a pod on a node that the watch has not reported yet": (
        World(loading(begun_s=3, engine=running(1)), nodes=(node("worker-9"),)),
        "Starting",
        "",
    ),
}

PROBLEMS = {
    "accelerators that are taken": (
        World(pod(refused=NO_GPU), nodes=NODES, taken=TAKEN, desired=target(count=2)),
        "InsufficientAccelerators",
        "has 2 nvidia.com/gpu free. 2 nodes offer 8 (at most 4 on one), of which 1 is free (at most 1 on one). Sch",
        "lower spec.accelerator.count",
    ),
    "a thousand accelerators, which Kubernetes writes as 1k": (
        World(pod(refused=NO_GPU), nodes=(node(gpus=1000),), taken={"worker-1": 999}, desired=target(count=2)),
        "InsufficientAccelerators",
        "1 node offers 1000 (at most 1000 on one), of which 1 is free",
        "lower spec.accelerator.count",
    ),
    "accelerators that no node has": (
        World(pod(refused=NO_GPU), nodes=(node(), node("worker-2"))),
        "InsufficientAccelerators",
        "No node offers nvidia.com/gpu: check that the device plugin",
        "untolerated taint",
    ),
    "accelerators, of nodes not looked at": (
        World(pod(refused=NO_GPU)),
        "InsufficientAccelerators",
        "free. Scheduler: 0/3 nodes are available: 1 node(s)",
        "add a node",
    ),
    "accelerators of a cordoned node": (
        World(pod(refused=NO_GPU), nodes=(node(), node("worker-2", gpus=4, cordoned=True)), taken={"worker-2": 3}),
        "InsufficientAccelerators",
        "of which 1 is free (at most 1 on one). Excluded: 1 node (worker-2): cordoned. Scheduler",
        "remove what excludes nodes",
    ),
    "accelerators of a dead node": (
        World(pod(refused=NO_GPU), nodes=(node(gpus=4, ready=False),)),
        "InsufficientAccelerators",
        "Excluded: 1 node (worker-1): not ready.",
        "",
    ),
    "accelerators that became unhealthy": (
        World(pod(refused=NO_GPU), nodes=(node(gpus=3, unhealthy=1),), taken={"worker-1": 3}),
        "InsufficientAccelerators",
        "1 node offers 3 (at most 3 on one), of which 0 are free (at most 0 on one). Unhealthy: 1 on worker-1.",
        "",
    ),
    "accelerators behind a taint, which the scheduler does not name": (
        World(
            pod(refused="0/2 nodes are available: 2 node(s) had untolerated taint(s)."),
            nodes=(node(gpus=4, taints=("team=search:NoSchedule",)), node("control-plane", taints=("x:NoSchedule",))),
        ),
        "Unschedulable",
        "Excluded: 1 node (worker-1): untolerated taint team=search:NoSchedule.",
        "remove the taint or node label",
    ),
    "accelerators of another product": (
        World(
            pod(refused=NO_GPU, spec={"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A10G"}}),
            nodes=(
                node("worker-1", gpus=4, labels={"nvidia.com/gpu.product": "NVIDIA-L4"}),
                node("worker-2", gpus=4, labels={"nvidia.com/gpu.product": "NVIDIA-L4"}),
                node("worker-3", gpus=4),
            ),
        ),
        "InsufficientAccelerators",
        "; 1 node (worker-3): label nvidia.com/gpu.product must be NVIDIA-A10G, but is missing.",
        "",
    ),
    "a claim that does not exist": (
        World(pod(refused='0/3 nodes are available: persistentvolumeclaim "models" not found. not found')),
        "VolumeClaimMissing",
        'persistentvolumeclaim "models" not found. Create',
        "Create the PersistentVolumeClaim in namespace team-a",
    ),
    "a claim that was created this moment": (
        World(
            pod(
                refused='running PreFilter plugin "VolumeBinding": error getting PVC "team-a/models": '
                "could not find v1.PersistentVolumeClaim"
            )
        ),
        "VolumeClaimMissing",
        "could not find",
        "Create the PersistentVolumeClaim",
    ),
    "a claim without a volume": (
        World(pod(refused="0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found")),
        "VolumeClaimUnbound",
        "unbound immediate PersistentVolumeClaims. See",
        "kubectl -n team-a describe pvc",
    ),
    "a claim whose provisioner gave up": (
        World(pod(refused="running PreBind plugin: binding volumes: context deadline exceeded")),
        "VolumeClaimUnbound",
        "binding volumes",
        "provisioner",
    ),
    "too little memory on any node": (
        World(pod(refused="0/3 nodes are available: 3 Insufficient memory.")),
        "Unschedulable",
        "3 Insufficient memory.",
        "spec.resources",
    ),
    "too little CPU, in the words of Kubernetes 1.34": (
        World(pod(refused="0/3 nodes are available: 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3")),
        "Unschedulable",
        "No node can run the pod: 0/3 nodes are available: 3 Insufficient cpu. Lower",
        "spec.resources",
    ),
    "accelerators, for a service that requests none": (
        World(pod(refused=NO_GPU), desired=target(resource=None)),
        "Unschedulable",
        "Insufficient nvidia.com/gpu",
        "spec.resources",
    ),
    "a dead node": (
        World(loading(), nodes=(node(ready=False),)),
        "NodeUnavailable",
        "kubelet stopped posting",
        "kubectl describe node worker-1",
    ),
    "a node that is gone": (
        World(loading(), nodes=(node("worker-9"),)),
        "NodeUnavailable",
        "no longer part of the cluster",
        "",
    ),
    "an eviction": (
        World(over("Evicted", 'Usage of EmptyDir volume "cache" exceeds the limit "10Gi".')),
        "Evicted",
        'volume "cache" exceeds the limit',
        "ephemeral-storage",
    ),
    "an unhealthy device": (
        World(over("UnexpectedAdmissionError", "Allocate failed due to no healthy devices present")),
        "NodeRefused",
        "no healthy devices present",
        "describe node",
    ),
    "an unhealthy device of a node that has others": (
        World(
            over("UnexpectedAdmissionError", "Allocate failed due to no healthy devices present"),
            nodes=(node(gpus=3, unhealthy=1),),
        ),
        "NodeRefused",
        "no healthy devices present. It has 4 nvidia.com/gpu, 1 of them unhealthy.",
        "describe node",
    ),
    "a node that shut down": (World(over("NodeShutdown", "Pod was terminated")), "NodeUnavailable", "terminated", ""),
}


def test_a_surge_pod_without_an_accelerator_reports_that_the_old_pods_keep_serving() -> None:
    world = World(serving("old", template=OLD), pod("new", refused=NO_GPU), nodes=NODES, taken={})
    found = conditions(world.verdict())
    assert found["Ready"]["status"] == "True"
    assert found["Ready"]["reason"] == "ServingPrevious"
    assert found["Progressing"]["status"] == "False"
    assert found["Progressing"]["reason"] == "RolloutLacksAccelerators"
    assert f"needs 1 {GPU}, which no node has free while the old pods run. 2 nodes offer 8" in found["Ready"]["message"]
    assert "old pods keep serving" in found["Ready"]["message"]
    assert "Free accelerators or add a node" in found["Ready"]["message"]


def waits_for_the_scheduler(name: str = "next") -> Object:
    return {"metadata": pod(name, begun_s=1)["metadata"]}


def test_a_pod_that_is_refused_again_and_again_keeps_its_reason_between_the_turns() -> None:
    refused = over("UnexpectedAdmissionError", "no healthy devices present")
    turns = (World(refused), World(refused, waits_for_the_scheduler()))
    assert {conditions(turn.verdict())["Ready"]["reason"] for turn in turns} == {"NodeRefused"}


def test_a_pod_that_failed_long_ago_does_not_explain_another() -> None:
    long_ago = over("Evicted", "The node was low on resource: memory.")
    long_ago["metadata"]["creationTimestamp"] = ago(3600)
    world = World(long_ago, waits_for_the_scheduler())
    assert conditions(world.verdict())["Ready"]["reason"] == "Scheduling"
    got_further = World(over("UnexpectedAdmissionError", "no devices"), pod("next", begun_s=1))
    assert conditions(got_further.verdict())["Ready"]["reason"] == "Preparing"
