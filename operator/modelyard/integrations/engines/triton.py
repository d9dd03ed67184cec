"""Triton Inference Server as it really behaves (measured on 2.51, the server of container release 24.10)."""

import re

from modelyard.api.conditions import Reason
from modelyard.api.reasons import Reasons
from modelyard.contract import names
from modelyard.integrations.engines import flags, vllm
from modelyard.integrations.engines.base import Ipv6, Port, Program, Serving
from modelyard.integrations.engines.flags import Flag
from modelyard.integrations.engines.metrics import DecoupledModels, Definition, EngineMetrics, Metric
from modelyard.integrations.pod_parts import PodParts

HTTP_PORT = 8000
GRPC_PORT = 8001
METRICS_PORT = 8002

ENTRYPOINT = "/opt/nvidia/nvidia_entrypoint.sh"
"""NVIDIA's images start everything through it: it looks at the GPU's driver and chooses CUDA's libraries by it, then
becomes the command (docker/cpu_only/nvidia_entrypoint.sh in https://github.com/triton-inference-server/server)."""

TEARDOWN_S = 10
"""Unloading small models took 3 s after the last answer; the drain's own limit covers it, this is for the process."""

SHM_SIZE = "2Gi"
"""Bound of /dev/shm, the server's channel to Python models, which takes 1 MiB for each instance and more for large
tensors. NVIDIA's examples start containers with 1 GiB. Memory is taken only as far as it is used."""

IPV6 = Ipv6(("--http-address=ipv6:::",), serves_ipv4=False)
"""Of HTTP, and of the metrics, which follow it: either family, never both (measured; libevhtp sets IPV6_V6ONLY). gRPC
listens on both by default."""

_FIXED = {
    "--model-repository": "set spec.model instead",
    "--model-store": "set spec.model instead",
    "--model-control-mode": "set spec.engine.triton.models instead; unset, all models are loaded",
    "--load-model": "set spec.engine.triton.models instead; unset, all models are loaded",
    "--allow-http": "the Service and the probes use HTTP",
    "--http-port": f"the Service and the probes use port {HTTP_PORT}, and clients use the Service's own port",
    "--allow-grpc": "the Service has a port grpc",
    "--grpc-port": f"the Service's port grpc uses port {GRPC_PORT}",
    "--metrics-port": f"the pods' port metrics is {METRICS_PORT}",
}

_SERVER = "https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html"
_TENSORRT_LLM = "https://github.com/triton-inference-server/tensorrtllm_backend#triton-metrics"
_VLLM = "https://github.com/triton-inference-server/vllm_backend#triton-metrics"

_PENDING = "nv_inference_pending_request_count"


def _of_server(*names: str, factor: float = 1.0, wrong_if_decoupled: bool = False) -> Definition:
    metrics = tuple(map(Metric, names))
    return Definition(metrics, _SERVER, factor=factor, wrong_if_decoupled=wrong_if_decoupled)


def _requests(type_: str) -> Definition:
    return Definition((Metric("nv_trt_llm_request_metrics", (("request_type", type_),)),), _TENSORRT_LLM, ">=23.11")


def _tensorrt_llm(name: str) -> Definition:
    return Definition((Metric(name),), _TENSORRT_LLM, "newer than 23.11")


SIGNALS: dict[str, tuple[Definition, ...]] = {
    # What a backend for language models counts comes first: its models are decoupled as a rule.
    "waiting": (_requests("waiting"), *vllm.SIGNALS["waiting"], _of_server(_PENDING, wrong_if_decoupled=True)),
    "running": (_requests("scheduled"), *vllm.SIGNALS["running"]),
    "running_limit": (_requests("max"),),
    "kv_usage": (
        Definition(
            (Metric("nv_trt_llm_kv_cache_block_metrics", (("kv_cache_block_type", "fraction"),)),),
            _TENSORRT_LLM,
            ">=23.11",
            combined="mean",
        ),
        *vllm.SIGNALS["kv_usage"],
    ),
    "preemptions_total": vllm.SIGNALS["preemptions_total"],
    "prompt_tokens_total": (
        _tensorrt_llm("nv_llm_input_token_len_sum"),
        *vllm.SIGNALS["prompt_tokens_total"],
    ),
    "generation_tokens_total": (
        _tensorrt_llm("nv_llm_output_token_len_sum"),
        *vllm.SIGNALS["generation_tokens_total"],
    ),
    "finished_total": (
        _tensorrt_llm("nv_llm_output_token_len_count"),
        Definition((Metric("vllm:e2e_request_latency_seconds_count"),), _VLLM),
        _of_server("nv_inference_request_success", "nv_inference_request_failure"),
    ),
    "first_tokens_total": (
        *vllm.SIGNALS["first_tokens_total"],
        _of_server("nv_inference_first_response_histogram_ms_count"),
    ),
    "iterations_total": (*vllm.SIGNALS["iterations_total"], _of_server("nv_inference_exec_count")),
    "queue_s_total": (*vllm.SIGNALS["queue_s_total"], _of_server("nv_inference_queue_duration_us", factor=1e-6)),
    "compute_s_total": (
        *vllm.SIGNALS["compute_s_total"],
        _of_server(
            "nv_inference_compute_input_duration_us",
            "nv_inference_compute_infer_duration_us",
            "nv_inference_compute_output_duration_us",
            factor=1e-6,
            wrong_if_decoupled=True,
        ),
    ),
    "time_to_first_token_s": (
        *vllm.SIGNALS["time_to_first_token_s"],
        Definition(
            (Metric("nv_inference_first_response_histogram_ms"),), _SERVER, "newer than 24.10", "histogram", 1e-3
        ),
    ),
    "time_per_output_token_s": vllm.SIGNALS["time_per_output_token_s"],
}
"""All counters move when a request finishes, those of a decoupled model when it is accepted (measured): a request that
runs, or hangs, shows in the pending count alone. Both backends report beside the server's own metrics; vLLM's has the
names of vLLM (src/utils/metrics.py), the one for TensorRT-LLM those of its batch manager.
"""

_OF_LANGUAGE_MODELS = (
    "nv_trt_llm_request_metrics",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
)
_OF_TOKENS = ("nv_llm_input_token_len_sum", "nv_llm_output_token_len_sum")
_OF_VLLM = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")

ONLY_WITH: dict[str, tuple[str, ...]] = {
    "running": _OF_LANGUAGE_MODELS,
    "running_limit": ("nv_trt_llm_request_metrics",),
    "kv_usage": _OF_LANGUAGE_MODELS,
    "prompt_tokens_total": (*_OF_TOKENS, *_OF_VLLM),
    "generation_tokens_total": (*_OF_TOKENS, *_OF_VLLM),
}
"""What only a backend for language models reports, each beside others that came with it: vLLM's backend had counters
before gauges (src/utils/metrics.py in https://github.com/triton-inference-server/vllm_backend), the one for
TensorRT-LLM has the lengths in tokens only after 23.11.
"""

METRICS = EngineMetrics(
    port=METRICS_PORT,
    path="/metrics",
    signals=SIGNALS,
    remedy="It has them once a model is loaded.",
    decoupled_models=DecoupledModels(_PENDING, "model", HTTP_PORT, "/v2/models/{model}/config"),
    only_with=ONLY_WITH,
)


class Triton:
    """Serves a repository of models, of any framework that its image has a backend for, through KServe's V2 protocol.

    What its readiness does not show: a Python model whose process was killed answers every request with 500 and stays
    ready, and an empty repository is ready. The second shows in the repository's index, which the operator reads. A
    Python model without its model.py hangs in loading for ever, with the port closed: the start-up time ends that.
    """

    name = "triton"
    ports = (
        Port(names.PORT_HTTP, HTTP_PORT, names.SERVICE_PORT),
        Port(names.PORT_GRPC, GRPC_PORT, GRPC_PORT),
        Port(names.PORT_METRICS, METRICS_PORT, None),
    )
    teardown_s = TEARDOWN_S
    takes_names = False
    published = r"nvidia/tritonserver"
    compile_cache = None
    metrics = METRICS
    error_lines: tuple[tuple[Reason, str], ...] = (
        (Reasons.MODEL_NOT_LOADABLE, r"failed to poll model '"),
        (Reasons.MODEL_NOT_LOADABLE, r"failed to load (model )?'|Failed to (pre)?initialize Python stub"),
        (
            Reasons.MODEL_NOT_LOADABLE,
            r"Error parsing text-format inference\.ModelConfig|[Pp]oll failed for model directory",
        ),
        (Reasons.BAD_ARGUMENT, r"^Bad option: "),
    )

    def program(self, serving: Serving) -> Program:
        """See engines/base.py.

        Several models share the server's own path: not ready until all are, as long as strict readiness is on. Live
        is refused while models load, and at once after SIGTERM, while the server finishes its requests.
        """
        flags.refuse(serving.args, _FIXED)
        _refuse_restricted_health(serving.args)
        ready = f"/v2/models/{serving.models[0]}/ready" if len(serving.models) == 1 else "/v2/health/ready"
        return Program(
            command=("tritonserver", *flags.merged(_flags(serving), serving.args)),
            parts=PodParts(
                volumes=({"name": names.VOLUME_SHM, "emptyDir": {"medium": "Memory", "sizeLimit": SHM_SIZE}},),
                mounts=({"name": names.VOLUME_SHM, "mountPath": names.PATH_SHM},),
                annotations={names.ANNOTATION_MODELS: ",".join(serving.models) or names.MODELS_ALL},
            ),
            ready_path=ready,
            live_path="/v2/health/live",
            entrypoint=ENTRYPOINT,
            ipv6=None if flags.has(serving.args, "--http-address") else IPV6,
        )


def _flags(serving: Serving) -> list[Flag]:
    """The rate limiter is left as it is, off: models that use it need settings that only their user knows."""
    explicit = [Flag("--model-control-mode", "explicit"), *(Flag("--load-model", model) for model in serving.models)]
    return [
        Flag("--model-repository", serving.model.path),
        *(explicit if serving.models else [Flag("--model-control-mode", "none")]),
        Flag("--http-port", str(HTTP_PORT)),
        Flag("--grpc-port", str(GRPC_PORT)),
        Flag("--metrics-port", str(METRICS_PORT)),
        Flag("--allow-metrics", "true"),
        # A model that does not load ends the server, so that its error is reported, instead of serving without it.
        Flag("--exit-on-error", "true"),
        Flag("--strict-readiness", "true"),
        # Since 2.45 (24.04) the exit waits for open connections too, idle ones included, and then ends with code 1:
        # https://github.com/triton-inference-server/server/pull/6986
        Flag("--exit-timeout-secs", str(serving.drain_s)),
    ]


def _refuse_restricted_health(arguments: tuple[str, ...]) -> None:
    if re.search(r"--http-restricted-api[= ]\S*health", " ".join(arguments)):
        raise flags.refusal("--http-restricted-api for health", "the probes use that API and have no key for it")
