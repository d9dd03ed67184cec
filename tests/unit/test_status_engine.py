"""The engine: how it starts, how it ends, how it falls silent."""

from tests.support.observed import (
    World,
    crashed,
    ended,
    event,
    loading,
    pod,
    running,
    serving,
    serving_repository,
    target,
    waiting,
)

UID = "uid-of-smollm-1"


UNDER_WAY = {
    "the engine loads after a long fetch": (World(loading(begun_s=9999)), "Starting", ""),
    "the engine loads": (
        World(loading()),
        "Starting",
        "since 2026-11-22T11:59:30Z (over 30 s); the start-up limit ends at 2026-11-22T12:29:30Z",
    ),
    "an engine whose end was not seen": (
        World(loading(engine_last=ended(137, reason="ContainerStatusUnknown"), restarts=1)),
        "Starting",
        "",
    ),
    "the node was restarted under the engine": (
        World(loading(engine_last=ended(255, reason="Unknown"), restarts=1)),
        "Starting",
        "",
    ),
    "a started engine with a failed probe of the run before": (
        World(
            loading(started=True, changed_s=31, engine_last=ended(255, reason="Unknown"), restarts=1),
            events={UID: (event("Unhealthy", "Readiness probe failed: connection refused", 33),)},
        ),
        "Starting",
        "",
    ),
    "a started engine before its first probe": (World(loading(started=True, changed_s=700)), "Starting", ""),
}

TOO_LOW = "runc create failed: unable to start container process: container init was OOM-killed (memory limit too low?)"

BELOW_USAGE = (
    "OCI runtime create failed: runc create failed: unable to start container process: error during container init: "
    "error setting cgroup config for procHooks process: unable to set memory limit to 4194304 (current usage: 6721536, "
    "peak usage: 6950912): unknown"
)

PROBLEMS = {
    "a memory limit in which not even the runtime starts": (
        World(crashed(TOO_LOW, exit_code=128, reason="StartError")),
        "OutOfMemory",
        "memory limit too low",
        "spec.resources",
    ),
    "such a limit, while the kubelet tries again": (
        World(pod(engine=waiting("RunContainerError", BELOW_USAGE))),
        "OutOfMemory",
        "unable to set memory limit to 4194304",
        "spec.resources",
    ),
    "an image without python3": (
        World(crashed('exec: "python3": executable file not found in $PATH', exit_code=128, reason="StartError")),
        "ContainerStartFailed",
        "executable file not found",
        "python3",
    ),
    "an engine that ended": (
        World(crashed("RuntimeError: worker died", restarts=1)),
        "EngineFailed",
        "code 1: RuntimeError: worker died",
        "--previous",
    ),
    "an engine that ended without an error line": (
        World(crashed("`vllm` exited with code 0; its last output:\nloading\nGood bye.", exit_code=0)),
        "EngineFailed",
        "code 0: `vllm` exited with code 0; its last output: Good bye. Exit code 0 is not success",
        "--previous",
    ),
    "an engine that ended without failing": (World(crashed("", exit_code=0)), "EngineFailed", "exited with code 0", ""),
    "an engine during the kubelet's back-off": (
        World(crashed("RuntimeError: worker died", restarts=1)),
        "EngineFailed",
        "worker died",
        "The kubelet restarts it at about 2026-11-22T12:04:50Z.",
    ),
    "an engine between two crashes": (
        World(loading(engine_last=ended(1, "RuntimeError: worker died"), restarts=1)),
        "EngineFailed",
        "worker died",
        "",
    ),
    "a crash loop": (
        World(crashed("RuntimeError: worker died", restarts=7)),
        "CrashLooping",
        "exited 7 times, most recently with code 1: RuntimeError: worker died",
        "--previous",
    ),
    "a crash loop at a moment when it answers": (
        World(serving(engine_last=ended(1, "RuntimeError: worker died"), restarts=7, changed_s=3)),
        "CrashLooping",
        "worker died",
        "",
    ),
    "an engine that is killed without a word": (
        World(crashed("", exit_code=137, ran_s=3)),
        "EngineFailed",
        "exited with code 137: it was killed, and Kubernetes reports no cause",
        "spec.resources",
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
        "to another port",
    ),
    "a start that the kubelet ended": (
        World(crashed("", exit_code=143, ran_s=1795)),
        "StartTimeout",
        "exceeded spec.startup.timeoutSeconds (1800 s): it was ended still loading",
        "spec.startup.timeoutSeconds",
    ),
    "a start that the kubelet ended one probe before the time": (
        World(crashed("", exit_code=137, ran_s=8), desired=target(startup_timeout_s=10)),
        "StartTimeout",
        "exceeded spec.startup.timeoutSeconds (10 s): it was ended still loading",
        "spec.startup.timeoutSeconds",
    ),
    "an engine that the kubelet ended after it had served": (
        World(crashed("", exit_code=143, ran_s=4000)),
        "EngineFailed",
        "code 143: no cause was given",
        "",
    ),
    "a start that takes too long": (
        World(loading(engine=running(1900))),
        "StartTimeout",
        "still loading the model",
        "kubectl -n team-a logs smollm-1",
    ),
    "an engine that came up after a failure and was not probed yet": (
        World(
            loading(started=True, changed_s=32, engine_last=ended(1, "boom", since_s=31), restarts=2),
            events={UID: (event("Unhealthy", "Readiness probe failed: connection refused", 33),)},
        ),
        "EngineFailed",
        "boom",
        "",
    ),
    "a loop at the moment between start-up probe and readiness probe": (
        World(loading(started=True, changed_s=29, engine_last=ended(1, "boom", since_s=31), restarts=5)),
        "CrashLooping",
        "boom",
        "",
    ),
    "a repository without a model": (
        World(serving_repository(), indexes={UID: ()}),
        "ModelsNotReady",
        "the repository is empty",
        "be the folder that contains the models' folders",
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
