"""vLLM as it really behaves (measured on 0.32)."""

import math
from collections.abc import Sequence
from fractions import Fraction

from modelyard.api import quantity
from modelyard.api.conditions import Reason
from modelyard.api.inference_service import Resources
from modelyard.api.reasons import Reasons
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.integrations.engines import flags
from modelyard.integrations.engines.base import CompileCache, Ipv6, Port, Program, Serving
from modelyard.integrations.engines.flags import Flag
from modelyard.integrations.engines.metrics import Definition, EngineMetrics, Metric
from modelyard.integrations.pod_parts import PodParts

HTTP_PORT = 8000

PACKAGE = "vllm"
"""Its Python package, whose version is the engine's."""

PUBLISHED = r"vllm/vllm-openai(-cpu|-rocm|-xpu)?"
"""Not lmcache/vllm-openai, nvidia/vllm, llm-d-cuda and the like, whose tags are versions of something else."""

SHUTDOWN_TIMEOUT_SINCE = (0, 18, 0)
"""First release that can drain: https://github.com/vllm-project/vllm/pull/34730. Older ones abort what runs."""

ACCESS_LOG_SINCE = (0, 8, 2)
"""First release with --disable-uvicorn-access-log: https://github.com/vllm-project/vllm/pull/14754, merged after 0.8.1.
Older ones end with "unrecognized arguments". All other flags of ours are older than `vllm serve` itself."""

TEARDOWN_S = 15
"""From the last answer to the exit: 13 s were measured on a loaded machine."""

SHM_SIZE = "2Gi"
"""Bound of /dev/shm, the channel of tensor-parallel workers. vLLM's own example for Kubernetes has the same; the
runtimes' default of 64 MiB ends them with a bus error. Memory is taken only as far as it is used."""

KV_CACHE_SHARE_ON_CPU = Fraction(1, 4)
"""Of the memory request. The three processes take 1.4 GB before any weights (measured), the weights
most of what is left. vLLM's own default is 92 % of the whole node, free or not, and fails in a pod."""

CACHE_ROOT = f"{names.PATH_HOME}/.cache/vllm"

COMPILE_CACHE = CompileCache("VLLM_CACHE_ROOT", f"{CACHE_ROOT}/torch_compile_cache")
"""Made to be copied (https://docs.vllm.ai/en/latest/design/torch_compile/), with Inductor's and Triton's caches in it.
What else lies below the root holds for the devices that a pod happened to get, or for the memory that was free then."""

GIB = 2**30

_FIXED = {
    "--config": "modelyard could not check the flags in that file; write them here, as --flag=value",
    "--help": "the engine would print its help and exit",
    "-h": "the engine would print its help and exit",
    "--model": "set spec.model instead",
    "--port": f"the Service and the probes use port {HTTP_PORT}, and clients use the Service's own port",
    "--uds": "the Service and the probes need the TCP port",
    "--grpc": "the Service and the probes use HTTP",
    "--headless": "the Service and the probes use HTTP",
    "--data-parallel-multi-port-external-lb": "it opens a port per rank, but the Service has only one",
    "-dpm": "it opens a port per rank, but the Service has only one",
    "--ssl-keyfile": "the Service and the probes use plain HTTP; terminate TLS at a gateway",
    "--ssl-certfile": "the Service and the probes use plain HTTP; terminate TLS at a gateway",
}

_TENSOR_PARALLEL = ("--tensor-parallel-size", "-tp")
_PIPELINE_PARALLEL = ("--pipeline-parallel-size", "-pp")
_DATA_PARALLEL = ("--data-parallel-size", "-dp")
_PREFILL_PARALLEL = ("--prefill-context-parallel-size", "-pcp")
_DIVISIONS = (_TENSOR_PARALLEL, _PIPELINE_PARALLEL, _DATA_PARALLEL, _PREFILL_PARALLEL)
_PARALLELISM = tuple(spelling for spellings in _DIVISIONS for spelling in spellings)
"""A user's flag among these divides the accelerators: ours on top would request more than there are."""

IPV6 = Ipv6(("--host=::",), serves_ipv4=True)
"""One IPv6 socket, which serves IPv4 as well by default (vLLM's create_server_socket; ipv6(7)). A kernel
without IPv6 has no such sockets. Of a flag given twice the last one counts (argparse)."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_LOCAL_DATA_PARALLEL = ("--data-parallel-size-local", "-dpl")

_OTHER_PODS: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    (("--nnodes", "-n"), frozenset({"1"})),
    (("--node-rank", "-r"), frozenset({"0"})),
    (("--master-addr",), _LOOPBACK),
    (("--data-parallel-address", "-dpa"), _LOOPBACK),
    (("--data-parallel-rank", "-dpn"), frozenset()),
    (("--data-parallel-start-rank", "-dpr"), frozenset({"0"})),
    (("--data-parallel-external-lb", "-dpe"), frozenset()),
    (("--data-parallel-hybrid-lb", "-dph"), frozenset()),
)
"""Flags that make an engine one of several that serve a model together, and the values with which they do not
(https://docs.vllm.ai/en/latest/serving/data_parallel_deployment/ and parallelism_scaling/). Ray is not one of them: a
cluster of its own within the pod has what the pod has."""

_KV_CACHE_SIZE = ("--kv-cache-memory-bytes", "--gpu-memory-utilization")
"""The environment's VLLM_CPU_KVCACHE_SPACE would overrule these."""

_V0 = "https://docs.vllm.ai/en/v0.8.5/design/v1/metrics.html"
_V1 = "https://docs.vllm.ai/en/latest/design/metrics/"
_RECORDED = "tests/recordings/vllm/fixtures"
_RENAMED_CACHE = "https://github.com/vllm-project/vllm/pull/18354"
_RENAMED_LATENCY = "https://github.com/vllm-project/vllm/pull/24110"


def _total(name: str, source: str = _V0, releases: str = "all") -> Definition:
    return Definition((Metric(name),), source, releases)


def _share(name: str, source: str, releases: str) -> Definition:
    return Definition((Metric(name),), source, releases, combined="mean")


def _histogram(name: str, source: str, releases: str = "all") -> Definition:
    return Definition((Metric(name),), source, releases, combined="histogram")


SIGNALS: dict[str, tuple[Definition, ...]] = {
    "waiting": (_total("vllm:num_requests_waiting"),),
    "running": (_total("vllm:num_requests_running"),),
    "kv_usage": (
        _share("vllm:kv_cache_usage_perc", _RENAMED_CACHE, ">=0.9.2"),
        _share("vllm:gpu_cache_usage_perc", _V0, "<0.12"),
    ),
    "kv_capacity_tokens": (
        Definition((Metric("vllm:cache_config_info", value_labels=("kv_cache_size_tokens",)),), _RECORDED, "0.32"),
        Definition((Metric("vllm:cache_config_info", value_labels=("num_gpu_blocks", "block_size")),), _V1),
    ),
    "preemptions_total": (_total("vllm:num_preemptions_total"),),
    "prompt_tokens_total": (_total("vllm:prompt_tokens_total"),),
    "cached_prompt_tokens_total": (
        _total("vllm:prompt_tokens_cached_total", _RECORDED, "0.32"),
        _total("vllm:prefix_cache_hits_total", _RENAMED_CACHE, ">=0.9.2"),
    ),
    "generation_tokens_total": (_total("vllm:generation_tokens_total"),),
    "finished_total": (_total("vllm:request_success_total"),),
    "first_tokens_total": (_total("vllm:time_to_first_token_seconds_count"),),
    "iterations_total": (_total("vllm:iteration_tokens_total_count"),),
    "queue_s_total": (_total("vllm:request_queue_time_seconds_sum"),),
    "compute_s_total": (_total("vllm:request_inference_time_seconds_sum"),),
    "time_to_first_token_s": (_histogram("vllm:time_to_first_token_seconds", _V0),),
    "time_per_output_token_s": (
        _histogram("vllm:inter_token_latency_seconds", _RENAMED_LATENCY, ">=0.11"),
        _histogram("vllm:time_per_output_token_seconds", _V0, "<0.13"),
    ),
}
"""What each moves at, as recorded from 0.32 with 4 requests running, 38 waiting and 8 finished: prompt tokens and first
tokens at a request's first token (12), generated tokens and iterations at each step, the queue's and the computing time
only when a request finishes (8); one whose client hung up is never counted. The gauges are set at the end of each step.
0.32 makes a step of no tokens once all clients hung up, so its gauges go to zero; older ones kept their values. Several API
servers report gauges only after the first request.
"""

METRICS = EngineMetrics(
    port=HTTP_PORT,
    path="/metrics",
    signals=SIGNALS,
    remedy="The flag --disable-log-stats removes them all.",
)


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
    published = PUBLISHED
    compile_cache = COMPILE_CACHE
    metrics = METRICS

    def program(self, serving: Serving) -> Program:
        """See engines/base.py.

        /health is readiness too: it is refused until the model is loaded, and 503 once the engine is dead. There is no
        other path for it, and the launcher withdraws nothing by it: it stays 200 while the engine drains.
        """
        flags.refuse(serving.args, _FIXED)
        _refuse_clashes(serving)
        ours = flags.of_version(_flags(serving), serving.version)
        doubtful = flags.doubtful(ours, serving.args, serving.version)
        return Program(
            command=("vllm", "serve", serving.model.path, *flags.merged(ours, serving.args)),
            parts=PodParts(
                env=_environment(serving),
                volumes=({"name": names.VOLUME_SHM, "emptyDir": {"medium": "Memory", "sizeLimit": SHM_SIZE}},),
                mounts=({"name": names.VOLUME_SHM, "mountPath": names.PATH_SHM},),
            ),
            ready_path="/health",
            live_path="/health",
            ipv6=None if flags.has(serving.args, "--host") else IPV6,
            package=PACKAGE if doubtful else None,
            doubtful=doubtful,
        )


def _refuse_clashes(serving: Serving) -> None:
    """Raises InvalidError (EngineArgumentRefused) for arguments that cannot work beside the rest of the spec."""
    users = serving.args
    if users and not users[0].startswith("-"):
        raise flags.refusal(users[0], "vLLM reads a first argument without dashes as the model; set spec.model instead")
    if (host := flags.value_of(users, "--host")) in _LOOPBACK:
        raise flags.refusal(f"--host={host}", "the Service and the probes connect from outside the pod")
    if serving.model.aliases and flags.has(users, "--served-model-name"):
        raise flags.refusal(
            "--served-model-name",
            "spec.model.aliases sets the names of the model",
            "Put all names in spec.model.name and spec.model.aliases.",
        )
    _refuse_other_pods(users)
    needed = math.prod(_size(users, spellings) or 1 for spellings in _DIVISIONS)
    if serving.accelerator_count and needed > serving.accelerator_count:
        raise flags.refusal(
            "parallel sizes whose product exceeds the accelerators of a replica",
            f"they need {needed}, but spec.accelerator.count is {serving.accelerator_count}",
            "Lower them, or raise spec.accelerator.count.",
        )


def _refuse_other_pods(users: Sequence[str]) -> None:
    """Raises InvalidError (EngineArgumentRefused) for arguments that need more pods than the one of each replica."""
    for spellings, harmless in _OTHER_PODS:
        if flags.has(users, *spellings) and (value := flags.value_of(users, *spellings)) not in harmless:
            raise _needs_other_pods(spellings[0], value)
    # Exact: the name of the whole size is the beginning of the local one's.
    local = _size(flags.without(users, _DATA_PARALLEL[0]), _LOCAL_DATA_PARALLEL)
    if local is not None and local < (_size(users, _DATA_PARALLEL) or 1):
        raise _needs_other_pods(_LOCAL_DATA_PARALLEL[0], str(local))
    if _size(users, ("--api-server-count", "-asc")) == 0:
        raise _needs_other_pods("--api-server-count", "0")


def _needs_other_pods(flag: str, value: str | None) -> InvalidError:
    is_switch = value is None or value.startswith("-") or flag.endswith("-lb")
    return flags.refusal(
        flag if is_switch else f"{flag}={value}",
        "the engine would wait for other pods, but each replica is a single pod",
        "Remove it; to split the model within the pod, raise spec.accelerator.count.",
    )


def _size(users: Sequence[str], spellings: tuple[str, ...]) -> int | None:
    """The number that the user gives a flag; None without one."""
    value = flags.value_of(users, *spellings)
    return int(value) if value and value.isascii() and value.isdecimal() else None


def _flags(serving: Serving) -> list[Flag]:
    ours = [
        Flag("--served-model-name", _served_names(serving)),
        Flag("--host", "0.0.0.0"),  # noqa: S104 - a pod's port is what the Service and the probes reach
        Flag("--port", str(HTTP_PORT)),
        # Probes come every few seconds, and would be most of the log.
        Flag(
            "--disable-uvicorn-access-log",
            unless=("--no-disable-uvicorn-access-log", "--disable-access-log-for-endpoints"),
            since=ACCESS_LOG_SINCE,
        ),
        # Never its default of 0: what runs is aborted then, and clients can hang until SIGKILL.
        Flag("--shutdown-timeout", str(serving.drain_s), since=SHUTDOWN_TIMEOUT_SINCE),
    ]
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
            f"spec.model.name {model.name!r} cannot be combined with aliases: vLLM would read it as a flag. "
            "Choose a name that does not begin with '-'.",
        )
    return (model.name, *model.aliases) if model.aliases else model.name


def _environment(serving: Serving) -> tuple[Object, ...]:
    shared = (
        {"name": COMPILE_CACHE.variable, "value": CACHE_ROOT},
        {"name": "VLLM_NO_USAGE_STATS", "value": "1"},
        # The model is on disk: a lookup of any part of it elsewhere should fail at once, and name the part.
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
