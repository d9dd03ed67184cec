"""vLLM as it really behaves (measured on 0.32)."""

import math
from collections.abc import Sequence
from decimal import Decimal

from modelyard.api import quantity
from modelyard.api.conditions import Reason
from modelyard.api.reasons import Reasons
from modelyard.api.service import Object
from modelyard.api.types import Resources
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.integrations.engines import flags
from modelyard.integrations.engines.base import CompileCache, Port, Program, Serving
from modelyard.integrations.engines.flags import Flag
from modelyard.integrations.pod_parts import PodParts

HTTP_PORT = 8000

SHUTDOWN_TIMEOUT_SINCE = (0, 18)
"""First release that can drain: https://github.com/vllm-project/vllm/pull/34730. Older ones abort what runs."""

TEARDOWN_S = 15
"""From the last answer to the exit: 13 s were measured on a loaded machine."""

SHM_SIZE = "2Gi"
"""Bound of /dev/shm, through which tensor-parallel workers speak. vLLM's own example for Kubernetes has the same; the
runtimes' default of 64 MiB ends them with a bus error. Memory is taken only as far as it is used."""

KV_CACHE_SHARE_ON_CPU = Decimal("0.25")
"""Of the memory asked for. The three processes take 1.4 GB before any weights (measured), the weights
most of what is left. vLLM's own default is 92 % of the whole node, free or not, and fails in a pod."""

CACHE_ROOT = f"{names.PATH_HOME}/.cache/vllm"

COMPILE_CACHE = CompileCache("VLLM_CACHE_ROOT", f"{CACHE_ROOT}/torch_compile_cache")
"""Made to be copied (https://docs.vllm.ai/en/latest/design/torch_compile/), with Inductor's and Triton's caches in it.
What else lies below the root holds for the devices that a pod happened to get, or for the memory that was free then."""

GIB = 2**30

_FIXED = {
    "--config": "what its file says would pass by unseen; write its lines here, as --flag=value",
    "--help": "the engine would print it and end",
    "-h": "the engine would print its help and end",
    "--model": "spec.model says what is served",
    "--port": f"the Service and the probes lead to port {HTTP_PORT}, and clients use the Service's own port",
    "--uds": "the Service and the probes need the TCP port",
    "--grpc": "the Service and the probes speak HTTP",
    "--headless": "the Service and the probes speak HTTP",
    "--ssl-keyfile": "the Service and the probes speak plain HTTP, end TLS at a gateway",
    "--ssl-certfile": "the Service and the probes speak plain HTTP, end TLS at a gateway",
}

_TENSOR_PARALLEL = ("--tensor-parallel-size", "-tp")
_PIPELINE_PARALLEL = ("--pipeline-parallel-size", "-pp")
_DATA_PARALLEL = ("--data-parallel-size", "-dp")
_PARALLELISM = (*_TENSOR_PARALLEL, *_PIPELINE_PARALLEL, *_DATA_PARALLEL)
"""Who says one of these divides the accelerators: ours on top would ask for more than there are."""

_BEYOND_THE_POD = frozenset(
    {
        "--nnodes", "-n", "--distributed-executor-backend", "--data-parallel-backend", "-dpb",
        "--data-parallel-size-local", "-dpl", "--data-parallel-rank", "-dpn",
    }
)  # fmt: skip
"""Who says one of these computes in other pods too: how many accelerators there are is not known then."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_KV_CACHE_SIZE = ("--kv-cache-memory-bytes", "--gpu-memory-utilization")
"""The environment's VLLM_CPU_KVCACHE_SPACE would overrule these."""


class Vllm:
    """Serves language models through OpenAI's API."""

    name = "vllm"
    ports = (Port(names.PORT_HTTP, HTTP_PORT, names.SERVICE_PORT),)
    teardown_s = TEARDOWN_S
    error_lines: tuple[tuple[Reason, str], ...] = (
        # Another process holds the device's memory
        (Reasons.ACCELERATOR_OUT_OF_MEMORY, r"Free memory on device .* less than desired GPU memory utilization"),
        (Reasons.KV_CACHE_TOO_SMALL, r"larger than the available KV cache memory"),
        (Reasons.KV_CACHE_TOO_SMALL, r"No available memory for the cache blocks"),
        (Reasons.OUT_OF_MEMORY, r"Available memory on node \d+ .* less than desired CPU memory utilization"),
        (Reasons.BAD_ARGUMENT, r"greater than the derived max_model_len"),
        (Reasons.BAD_ARGUMENT, r"No module named '(runai_model_streamer|tensorizer|instanttensor)"),
        (Reasons.MODEL_NOT_LOADABLE, r"Invalid repository ID or local directory|HFValidationError|Repo id must be"),
        (Reasons.MODEL_NOT_LOADABLE, r"not a valid JSON file"),
        (Reasons.MODEL_NOT_LOADABLE, r"does not recognize this architecture|[Mm]odel architectures? .* not supported"),
        (Reasons.MODEL_NOT_LOADABLE, r"instantiate the backend tokenizer|Can't load tokenizer"),
        (Reasons.MODEL_NOT_LOADABLE, r"Cannot find any model weights|weights were not initialized from checkpoint"),
        (Reasons.MODEL_NOT_LOADABLE, r"Weight files referenced in index but missing"),
        (Reasons.MODEL_NOT_LOADABLE, r"SafetensorError|deserializing header"),
    )
    takes_names = True
    compile_cache = COMPILE_CACHE

    def program(self, serving: Serving) -> Program:
        """See engines/base.py.

        /health is readiness too: it is refused until the model is loaded, and 503 once the engine is dead. There is no
        other path for it, and the launcher withdraws nothing by it: it stays 200 while the engine drains.
        """
        flags.refuse(serving.args, _FIXED)
        _refuse_clashes(serving)
        return Program(
            command=("vllm", "serve", serving.model.path, *flags.merged(_flags(serving), serving.args)),
            parts=PodParts(
                env=_environment(serving),
                volumes=({"name": names.VOLUME_SHM, "emptyDir": {"medium": "Memory", "sizeLimit": SHM_SIZE}},),
                mounts=({"name": names.VOLUME_SHM, "mountPath": names.PATH_SHM},),
            ),
            ready_path="/health",
            live_path="/health",
        )


def _refuse_clashes(serving: Serving) -> None:
    """Raises InvalidError (EngineArgumentRefused) for arguments that cannot work beside the rest of the spec."""
    users = serving.args
    if users and not users[0].startswith("-"):
        raise flags.refusal(users[0], "a first argument without dashes names a model, and spec.model says it")
    if (host := flags.value_of(users, "--host")) in _LOOPBACK:
        raise flags.refusal(f"--host={host}", "the Service and the probes reach the engine from outside of its pod")
    if serving.model.aliases and flags.has(users, "--served-model-name"):
        raise flags.refusal(
            "--served-model-name",
            "spec.model.aliases says by which names the model is served",
            "Write all names into spec.model.name and spec.model.aliases.",
        )
    asked = _accelerators_of(users)
    if serving.accelerator_count and asked > serving.accelerator_count:
        raise flags.refusal(
            "parallel sizes whose product is more than the accelerators of a replica",
            f"they need {asked}, and spec.accelerator.count is {serving.accelerator_count}",
            "Lower them, or raise spec.accelerator.count.",
        )


def _accelerators_of(users: Sequence[str]) -> int:
    """How many accelerators of a pod the user's own division needs; 0 where the arguments don't tell."""
    if flags.flag_names(users) & _BEYOND_THE_POD:
        return 0
    sizes = [flags.value_of(users, *spellings) for spellings in (_TENSOR_PARALLEL, _PIPELINE_PARALLEL, _DATA_PARALLEL)]
    return math.prod(int(size) for size in sizes if size and size.isascii() and size.isdecimal())


def _flags(serving: Serving) -> list[Flag]:
    ours = [
        Flag("--served-model-name", _served_names(serving)),
        Flag("--host", "0.0.0.0"),  # noqa: S104 - a pod's port is what the Service and the probes reach
        Flag("--port", str(HTTP_PORT)),
        # Probes ask every few seconds, and would be most of the log.
        Flag(
            "--disable-uvicorn-access-log",
            unless=("--no-disable-uvicorn-access-log", "--disable-access-log-for-endpoints"),
        ),
    ]
    if serving.version.has(SHUTDOWN_TIMEOUT_SINCE):
        # Never its default of 0: what runs is aborted then, and clients can hang until SIGKILL.
        ours.append(Flag("--shutdown-timeout", str(serving.drain_s)))
    if serving.accelerator_count > 1:
        ours.append(Flag(_TENSOR_PARALLEL[0], str(serving.accelerator_count), unless=_PARALLELISM))
    if serving.accelerator_count == 0:
        # Compiling needs a C++ compiler, which a small image lacks, and takes a start from 24 s to 90 s.
        ours.append(Flag("--enforce-eager", unless=("--no-enforce-eager",)))
    return ours


def _served_names(serving: Serving) -> str | tuple[str, ...]:
    model = serving.model
    if model.aliases and model.name.startswith("-"):
        raise InvalidError(
            "InvalidSpec",
            f"spec.model.name {model.name!r} cannot stand beside aliases: vLLM would read it as a flag. "
            "Choose one that does not begin with '-'.",
        )
    return (model.name, *model.aliases) if model.aliases else model.name


def _environment(serving: Serving) -> tuple[Object, ...]:
    shared = (
        {"name": COMPILE_CACHE.variable, "value": CACHE_ROOT},
        {"name": "VLLM_NO_USAGE_STATS", "value": "1"},
        # The model is on disk: whatever looks for a part of it elsewhere shall fail at once, and say what.
        {"name": "HF_HUB_OFFLINE", "value": "1"},
    )
    return shared if serving.accelerator_count else shared + _cpu_environment(serving)


def _cpu_environment(serving: Serving) -> tuple[Object, ...]:
    threads: tuple[Object, ...] = (
        # vLLM pins its threads to the first cores that it sees, less one: pods that share a node would share those.
        {"name": "VLLM_CPU_OMP_THREADS_BIND", "value": "nobind"},
        # The container's limit in whole cores, and the node's where it has none.
        {
            "name": "OMP_NUM_THREADS",
            "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}},
        },
    )
    if flags.has(serving.args, *_KV_CACHE_SIZE):
        return threads
    return (*threads, {"name": "VLLM_CPU_KVCACHE_SPACE", "value": str(_kv_cache_gib(serving.resources))})


def _kv_cache_gib(resources: Resources) -> int:
    """Whole GiB, at least one: vLLM reads an integer, and takes 0 for its own default."""
    memory = resources.requests.get("memory", resources.limits.get("memory", 0))
    return max(1, int(quantity.number(memory) * KV_CACHE_SHARE_ON_CPU / GIB))
