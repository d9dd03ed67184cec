"""Metrics under other names than the recorded ones: those of vLLM's first engine (V0), and one renamed at will."""

import re
from collections.abc import Callable

Rewrite = Callable[[str], str]

SUFFIXES = "(?:_total|_bucket|_sum|_count|_created)?"

V0_NAMES = {
    "vllm:kv_cache_usage_perc": "vllm:gpu_cache_usage_perc",
    "vllm:inter_token_latency_seconds": "vllm:time_per_output_token_seconds",
}
"""https://docs.vllm.ai/en/v0.8.5/design/v1/metrics.html, as are the names that both have."""

V0_KEPT = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:gpu_cache_usage_perc",
    "vllm:num_preemptions",
    "vllm:prompt_tokens",
    "vllm:generation_tokens",
    "vllm:request_success",
    "vllm:iteration_tokens_total",
    "vllm:time_to_first_token_seconds",
    "vllm:time_per_output_token_seconds",
    "vllm:e2e_request_latency_seconds",
    "vllm:request_queue_time_seconds",
    "vllm:request_inference_time_seconds",
    "vllm:request_prefill_time_seconds",
    "vllm:request_decode_time_seconds",
    "vllm:request_prompt_tokens",
    "vllm:request_generation_tokens",
    "vllm:request_max_num_generation_tokens",
    "vllm:request_params_n",
    "vllm:request_params_max_tokens",
    "vllm:cache_config_info",
)

V0_CACHE_LABELS = ("block_size", "cache_dtype", "gpu_memory_utilization", "num_gpu_blocks", "num_gpu_blocks_override")


def renamed(name: str, by: str) -> Rewrite:
    """Gives one metric another name, with the suffixes of its samples; all other text stays."""
    found = re.compile(rf"^((?:# (?:HELP|TYPE) )?){re.escape(name)}(?={SUFFIXES}[ {{])", re.MULTILINE)
    return lambda text: found.sub(rf"\g<1>{by}", text)


def of_v0(text: str) -> str:
    """The metrics that V0 had, under its names, without the label of the engine's number."""
    for name, by in V0_NAMES.items():
        text = renamed(name, by)(text)
    kept = re.compile(rf"(?!(?:# (?:HELP|TYPE) )?vllm:)|(?:# (?:HELP|TYPE) )?(?:{'|'.join(V0_KEPT)}){SUFFIXES}[ {{]")
    lines = (line for line in text.splitlines(keepends=True) if kept.match(line))
    return "".join(_cache_config(line).replace('{engine="0",', "{") for line in lines)


def _cache_config(line: str) -> str:
    if not line.startswith("vllm:cache_config_info{"):
        return line
    labels = (f'{name}="{value}"' for name, value in re.findall(r'(\w+)="([^"]*)"', line) if name in V0_CACHE_LABELS)
    return f"vllm:cache_config_info{{{','.join(labels)}}} 1.0\n"
