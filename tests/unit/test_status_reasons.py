"""Every cause that a service can suffer from, as the cluster shows it, with the reason and the remedy that follow."""

import pytest

from modelyard.api.conditions import FETCH_FAILURES, REFUSALS, WAITS, every_reason
from modelyard.errors import InvalidError
from modelyard.signals.fetch_state import FetchError, FetchState
from tests.support.observed import (
    GPU,
    OLD,
    World,
    a_deployment,
    a_service,
    ago,
    conditions,
    crashed,
    ended,
    event,
    loading,
    node,
    pod,
    running,
    serving,
    waiting,
    wanted,
)

UID = "uid-of-smollm-1"
NO_GPU = (
    "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu. "
    "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
)
TAKEN = {"worker-1": 3, "worker-2": 4}
NODES = (node("worker-1", gpus=4), node("worker-2", gpus=4), node("control-plane"))
FETCHING = running(30)


def refused(message: str) -> World:
    return World(deployment=a_deployment(refusal=message))


def fetching(state: FetchState | None, **fields: object) -> World:
    return World(pod(fetch=FETCHING, **fields), states={UID: state})  # type: ignore[arg-type] # any field of a pod


def over(reason: str, message: str) -> dict[str, object]:
    """A pod that the kubelet gave up."""
    failed = pod(phase="Failed")
    failed["status"] |= {"reason": reason, "message": message}
    return failed


def silent(*events: tuple[str, str, float]) -> World:
    return World(pod(), events={UID: tuple(event(*e) for e in events)})


UNDER_WAY = {
    "nothing exists yet": (World(), "Creating", ""),
    "a pod waits for the scheduler": (
        World({"metadata": pod()["metadata"]}),
        "Scheduling",
        "waits for the scheduler",
    ),
    "a pod that was told to stop ends as failed": (
        World({**pod(deletionTimestamp=ago(1)), "status": {"phase": "Failed"}}),
        "Creating",
        "",
    ),
    "a node prepares the pod": (World(pod()), "Preparing", "Node worker-1 prepares"),
    "the node got past a failed mount": (
        silent(("FailedMount", "no such thing", 20), ("Pulling", "Pulling image", 5)),
        "Preparing",
        "",
    ),
    "the source is listed": (fetching(FetchState(phase="Listing")), "Fetching", "being listed"),
    "a third is fetched": (
        fetching(FetchState(phase="Downloading", bytes_done=90_000_000, bytes_total=270_000_000)),
        "Fetching",
        "30 % of 0.27 GB",
    ),
    "the model is published": (fetching(FetchState(phase="Publishing")), "Fetching", "checked and published"),
    "sizes that nobody told": (fetching(FetchState(phase="Downloading")), "Fetching", "progress is not known"),
    "a fetcher that does not answer": (fetching(None), "Fetching", "progress is not known"),
    "a retry that got further than the crash before it": (
        fetching(FetchState(phase="Downloading", bytes_done=1, bytes_total=10), fetch_last=ended(1, "boom")),
        "Fetching",
        "0 % of",
    ),
    "a large model is fetched": (
        fetching(FetchState(phase="Downloading", bytes_done=6, bytes_total=10), begun_s=9999),
        "Fetching",
        "60 %",
    ),
    "the engine loads after a long fetch": (World(loading(begun_s=9999)), "Starting", ""),
    "the engine loads": (
        World(loading()),
        "Starting",
        "since 2026-11-22T11:59:30Z; it may take until 2026-11-22T12:29:30Z",
    ),
    "the node was restarted under the engine": (
        World(loading(engine_last=ended(255, reason="Unknown"), restarts=1)),
        "Starting",
        "",
    ),
    "a started engine before its first probe": (World(loading(started=True, changed_s=700)), "Starting", ""),
}

PROBLEMS = {
    "a quota": (
        refused(
            'pods "smollm-5d9-x7k2p" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, '
            "used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2"
        ),
        "QuotaExceeded",
        "refuses the pod: exceeded quota: gpus, requested",
        "kubectl -n team-a describe quota",
    ),
    "pod security": (
        refused('pods "smollm-1" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'),
        "PodSecurityRefused",
        "runAsNonRoot",
        "pod-security.kubernetes.io/enforce",
    ),
    "a missing service account": (
        refused(
            'pods "smollm-1" is forbidden: error looking up service account team-a/reader: serviceaccount "reader" '
            "not found"
        ),
        "ServiceAccountMissing",
        "team-a/reader",
        "spec.serviceAccountName",
    ),
    "a webhook": (
        refused('admission webhook "policy.example.com" denied the request: no GPUs on Fridays'),
        "AdmissionRefused",
        "no GPUs on Fridays",
        "webhook",
    ),
    "accelerators that are taken": (
        World(pod(refused=NO_GPU), nodes=NODES, taken=TAKEN, wishes=wanted(count=2)),
        "InsufficientAccelerators",
        "has 2 nvidia.com/gpu free. The nodes offer 8 (2 with at most 4), of which 1 are free (at most 1 on one). The",
        "lower spec.accelerator.count",
    ),
    "accelerators that nobody has": (
        World(pod(refused=NO_GPU), nodes=(node(), node("cordoned", gpus=4, unschedulable=True))),
        "InsufficientAccelerators",
        "No node offers any nvidia.com/gpu (do the device plugin",
        "untolerated taint",
    ),
    "accelerators, of nodes not looked at": (
        World(pod(refused=NO_GPU)),
        "InsufficientAccelerators",
        "free. The scheduler says: 0/3 nodes are available: 1 node(s)",
        "add a node",
    ),
    "too little memory on any node": (
        World(pod(refused="0/3 nodes are available: 3 Insufficient memory.")),
        "Unschedulable",
        "3 Insufficient memory.",
        "spec.resources",
    ),
    "too little CPU, as Kubernetes 1.34 says it": (
        World(pod(refused="0/3 nodes are available: 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3")),
        "Unschedulable",
        "No node takes the pod: 0/3 nodes are available: 3 Insufficient cpu. Ask",
        "spec.resources",
    ),
    "accelerators, for a service that wants none": (
        World(pod(refused=NO_GPU), wishes=wanted(resource=None)),
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
    "a node that shut down": (World(over("NodeShutdown", "Pod was terminated")), "NodeUnavailable", "terminated", ""),
    "an image that does not exist": (
        World(pod(engine=waiting("ErrImagePull", "rpc error: code = NotFound desc = x/vllm:9: not found"))),
        "ImagePullFailed",
        "Image registry.example.com/vllm:1 cannot be pulled: rpc error",
        "Correct the image's name or tag",
    ),
    "an image during back-off": (
        World(
            pod(
                fetch=waiting(
                    "ImagePullBackOff",
                    'Back-off pulling image "x": ErrImagePull: failed to authorize: 401 Unauthorized',
                )
            )
        ),
        "ImagePullFailed",
        "registry.example.com/fetch:1 cannot be pulled: failed to authorize",
        "pull secret",
    ),
    "an image during an older kubelet's back-off": (
        World(
            pod(engine=waiting("ImagePullBackOff", 'Back-off pulling image "x"')),
            events={UID: (event("Failed", "Failed to pull image: dial tcp: lookup registry: no such host"),)},
        ),
        "ImagePullFailed",
        "no such host",
        "cannot reach the registry",
    ),
    "an image's name": (
        World(pod(engine=waiting("InvalidImageName", "Failed to apply default image tag: couldn't parse image"))),
        "ImagePullFailed",
        "couldn't parse",
        "Correct the image's name (",
    ),
    "a certificate of a registry": (
        World(pod(engine=waiting("ErrImagePull", "tls: failed to verify certificate: x509: unknown authority"))),
        "ImagePullFailed",
        "x509",
        "CA installed",
    ),
    "a volume": (
        silent(("FailedMount", 'MountVolume.SetUp failed for volume "ca-bundle" : configmap "ca" not found', 4)),
        "VolumeMountFailed",
        'configmap "ca" not found',
        "Create what it names",
    ),
    "a sandbox": (
        silent(("FailedCreatePodSandBox", "Failed to create pod sandbox: no runtime for nvidia is configured", 4)),
        "SandboxFailed",
        "no runtime for nvidia",
        "runtime class",
    ),
    "a Secret of the environment": (
        World(pod(engine=waiting("CreateContainerConfigError", 'secret "token" not found'))),
        "ContainerConfigInvalid",
        'Container engine cannot be set up: secret "token" not found',
        "spec.engine.env",
    ),
    "an image without python3": (
        World(crashed('exec: "python3": executable file not found in $PATH', exit_code=128, reason="StartError")),
        "ContainerStartFailed",
        "executable file not found",
        "python3",
    ),
    "a container that cannot be created": (
        World(pod(engine=waiting("CreateContainerError", "context deadline exceeded"))),
        "ContainerStartFailed",
        "deadline",
        "",
    ),
    "an error that the fetcher tells": (
        fetching(
            FetchState(phase="Retrying", error=FetchError("AccessDenied", "The store refuses. Grant s3:GetObject."))
        ),
        "AccessDenied",
        "The store refuses. Grant s3:GetObject.",
        "",
    ),
    "an error that the fetcher told at its end": (
        World(
            pod(
                fetch=waiting("CrashLoopBackOff"),
                fetch_last=ended(1, '{"phase": "Failed", "error": {"reason": "DigestMismatch", "message": "Other."}}'),
            )
        ),
        "DigestMismatch",
        "Other.",
        "",
    ),
    "an error that the fetcher made up": (
        fetching(FetchState(error=FetchError("Ready", "all is well"))),
        "FetchFailed",
        "all is well",
        "logs smollm-1 -c modelyard-fetch",
    ),
    "a fetcher that crashed": (
        World(pod(fetch=waiting("CrashLoopBackOff"), fetch_last=ended(2, "Traceback: boom"))),
        "FetchFailed",
        "exit code 2: Traceback: boom",
        "",
    ),
    "a fetcher that crashed, at its next attempt": (
        fetching(FetchState(phase="Listing"), fetch_last=ended(2, "Traceback: boom")),
        "FetchFailed",
        "exit code 2",
        "",
    ),
    "a fetcher killed for memory": (
        World(pod(fetch=waiting("CrashLoopBackOff"), fetch_last=ended(137, reason="OOMKilled"))),
        "OutOfMemory",
        "Container modelyard-fetch",
        "spec.resources",
    ),
    "an engine that ended": (
        World(crashed("RuntimeError: worker died", restarts=1)),
        "EngineFailed",
        "exit code 1: RuntimeError: worker died",
        "--previous",
    ),
    "an engine that ended without an error line": (
        World(crashed("`vllm` ended by itself with exit code 0; it said last:\nloading\nGood bye.", exit_code=0)),
        "EngineFailed",
        "exit code 0: `vllm` ended by itself with exit code 0; it said last: Good bye. See",
        "--previous",
    ),
    "an engine that ended without failing": (World(crashed("", exit_code=0)), "EngineFailed", "exit code 0", ""),
    "an engine between two crashes": (
        World(loading(engine_last=ended(1, "RuntimeError: worker died"), restarts=1)),
        "EngineFailed",
        "worker died",
        "",
    ),
    "a crash loop": (
        World(crashed("RuntimeError: worker died", restarts=7)),
        "CrashLooping",
        "ended 7 times, last with exit code 1: RuntimeError: worker died",
        "--previous",
    ),
    "a crash loop at a moment when it answers": (
        World(serving(engine_last=ended(1, "RuntimeError: worker died"), restarts=7, changed_s=3)),
        "CrashLooping",
        "worker died",
        "",
    ),
    "an engine killed for memory": (
        World(crashed("", exit_code=137, reason="OOMKilled")),
        "OutOfMemory",
        "OOMKilled",
        "spec.resources",
    ),
    "an accelerator's memory": (
        World(crashed("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")),
        "AcceleratorOutOfMemory",
        "Tried to allocate 2.00 GiB",
        "spec.accelerator.count",
    ),
    "a KV cache": (
        World(crashed("ValueError: 0.18 GiB is needed, larger than the available KV cache memory (0.02 GiB).")),
        "KvCacheTooSmall",
        "0.18 GiB",
        "--max-model-len",
    ),
    "a model that cannot be loaded": (
        World(crashed("OSError: the config file at '/model/config.json' is not a valid JSON file.")),
        "ModelNotLoadable",
        "not a valid JSON file",
        "spec.model.uri",
    ),
    "an argument": (
        World(crashed("vllm: error: unrecognized arguments: --no-such-flag", exit_code=2)),
        "BadArgument",
        "--no-such-flag",
        "spec.engine.args",
    ),
    "a port": (
        World(crashed("OSError: [Errno 98] Address already in use")),
        "PortInUse",
        "Address already in use",
        "--port",
    ),
    "a start that the kubelet ended": (
        World(crashed("", exit_code=143, ran_s=1795)),
        "StartTimeout",
        "longer than spec.startup.timeoutSeconds (1800 s): it was ended still loading",
        "spec.startup.timeoutSeconds",
    ),
    "a start that the kubelet ended one probe before the time": (
        World(crashed("", exit_code=137, ran_s=8), wishes=wanted(startup_timeout_s=10)),
        "StartTimeout",
        "longer than spec.startup.timeoutSeconds (10 s): it was ended still loading",
        "spec.startup.timeoutSeconds",
    ),
    "an engine that the kubelet ended after it had served": (
        World(crashed("", exit_code=143, ran_s=4000)),
        "EngineFailed",
        "exit code 143: no cause was given",
        "",
    ),
    "a start that takes too long": (
        World(loading(engine=running(1900))),
        "StartTimeout",
        "still loading the model",
        "kubectl -n team-a logs smollm-1",
    ),
    "a fetch that tells nothing and takes too long": (
        fetching(None, begun_s=1900),
        "StartTimeout",
        "still fetching",
        "",
    ),
    "an engine that no longer answers": (
        World(loading(started=True, changed_s=5)),
        "ProbeFailing",
        "since 2026-11-22T11:59:55Z",
        "hung",
    ),
    "an engine that never answered its probe": (
        World(
            loading(started=True, changed_s=700),
            events={UID: (event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),)},
        ),
        "ProbeFailing",
        "statuscode: 503",
        "",
    ),
}


@pytest.mark.parametrize(("world", "reason", "says"), UNDER_WAY.values(), ids=UNDER_WAY)
def test_what_is_under_way_is_named(world: World, reason: str, says: str) -> None:
    found = conditions(world.verdict())
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", reason)
    assert says in found["Ready"]["message"]
    assert (found["Progressing"]["status"], found["Progressing"]["reason"]) == ("True", reason)
    assert found["Reconciling"]["status"] == "True"
    assert "Stalled" not in found


@pytest.mark.parametrize(("world", "reason", "says", "remedy"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_is_named_with_its_cause_and_remedy(world: World, reason: str, says: str, remedy: str) -> None:
    verdict = world.verdict()
    found = conditions(verdict)
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", reason)
    assert says in found["Ready"]["message"]
    assert remedy in found["Ready"]["message"]
    assert (found["Progressing"]["status"], found["Progressing"]["reason"]) == ("False", reason)
    assert found["Stalled"]["reason"] == reason
    assert "Reconciling" not in found
    assert verdict.status["reason"] == reason
    assert [(e.type, e.reason) for e in verdict.events] == [("Warning", reason)]


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_refused_spec_is_named_in_the_words_of_who_refused_it(reason: str) -> None:
    found = conditions(World(problem=InvalidError(reason, "This is wrong. Do that.")).verdict())
    for type_ in ("Ready", "Accepted", "Available", "Progressing"):
        assert (found[type_]["status"], found[type_]["reason"]) == ("False", reason)
        assert found[type_]["message"] == "This is wrong. Do that."
    assert found["Stalled"]["reason"] == reason


def test_a_surge_pod_without_an_accelerator_says_that_the_old_pods_keep_serving() -> None:
    world = World(serving("old", template=OLD), pod("new", refused=NO_GPU), nodes=NODES, taken={})
    found = conditions(world.verdict())
    assert found["Ready"]["status"] == "True"
    assert found["Ready"]["reason"] == "ServingPrevious"
    assert found["Progressing"]["status"] == "False"
    assert found["Progressing"]["reason"] == "RolloutLacksAccelerators"
    assert f"needs 1 {GPU} that no node has free beside the old pods. The nodes offer 8" in found["Ready"]["message"]
    assert "old pods keep serving" in found["Ready"]["message"]
    assert "Free accelerators or add a node" in found["Ready"]["message"]


def test_an_image_that_was_not_pulled_keeps_its_cause_through_a_back_off_without_one() -> None:
    failed = World(pod(engine=waiting("ErrImagePull", "manifest unknown"))).verdict()
    backing_off = World(pod(engine=waiting("ImagePullBackOff", 'Back-off pulling image "x"')))
    assert backing_off.verdict(failed.status).status == failed.status


def test_a_fetchers_error_stays_while_its_port_does_not_answer() -> None:
    told = fetching(FetchState(error=FetchError("AccessDenied", "Refused."))).verdict()
    assert fetching(None).verdict(told.status).status == told.status


def test_a_fetchers_error_does_not_outlive_the_spec_that_it_was_about() -> None:
    told = fetching(FetchState(error=FetchError("AccessDenied", "Refused."))).verdict()
    corrected = World(pod(fetch=FETCHING), service=a_service(generation=4)).verdict(told.status)
    assert conditions(corrected)["Ready"]["reason"] == "Fetching"


def test_a_fetchers_error_is_gone_once_the_download_runs() -> None:
    told = fetching(FetchState(error=FetchError("AccessDenied", "Refused."))).verdict()
    cured = fetching(FetchState(phase="Downloading", bytes_done=0, bytes_total=10)).verdict(told.status)
    assert conditions(cured)["Ready"]["reason"] == "Fetching"
    assert conditions(cured)["ModelCached"]["reason"] == "Fetching"


def test_progress_changes_the_status_in_steps_only() -> None:
    def message(done: int) -> str:
        state = FetchState(phase="Downloading", bytes_done=done, bytes_total=100)
        return str(conditions(fetching(state).verdict())["Ready"]["message"])

    assert len({message(done) for done in range(101)}) == 11


def test_a_refusal_reads_the_same_for_each_pod_that_is_tried() -> None:
    def message(name: str) -> str:
        world = refused(f'pods "{name}" is forbidden: exceeded quota: gpus')
        return str(conditions(world.verdict())["Ready"]["message"])

    assert message("smollm-abc") == message("smollm-xyz")


def test_every_reason_that_has_a_text_of_its_own_is_seen_in_some_world() -> None:
    seen = {reason for _, reason, _ in UNDER_WAY.values()} | {reason for _, reason, _, _ in PROBLEMS.values()}
    whole_service = {
        "Accepted", "Ready", "Complete", "RollingOut", "ServingPrevious", "Degraded", "ScaledToZero", "Deleting",
        "Paused", "Contested", "Cached", "RolloutLacksAccelerators",
    }  # fmt: skip
    passed_on = {*REFUSALS, *WAITS, *FETCH_FAILURES}
    assert set(every_reason()) == seen | whole_service | passed_on


def test_a_service_that_is_deleted_says_so() -> None:
    found = conditions(World(serving(), service=a_service(deleting=True)).verdict())
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "Deleting")
