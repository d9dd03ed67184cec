"""Metrics pages of engines that were not recorded, in the shape that their documentation shows, and a reader."""

from modelyard.integrations.engines.metrics import EngineMetrics
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_page import EnginePage

OLD_VLLM = b"""\
# HELP vllm:cache_config_info information of cache_config
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",num_cpu_blocks="512",num_gpu_blocks="2048"} 1.0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="m"} 7.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="m"} 0.25
# TYPE vllm:time_per_output_token_seconds histogram
vllm:time_per_output_token_seconds_bucket{le="0.01",model_name="m"} 80.0
vllm:time_per_output_token_seconds_bucket{le="+Inf",model_name="m"} 90.0
vllm:time_per_output_token_seconds_count{model_name="m"} 90.0
vllm:time_per_output_token_seconds_sum{model_name="m"} 1.5
"""

TENSORRT_LLM = b"""\
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="tensorrt_llm",version="1"} 0
nv_inference_pending_request_count{model="ensemble",version="1"} 0
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 3
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="context",version="1"} 1
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 4
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 512
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active",version="1"} 7
# TYPE nv_trt_llm_kv_cache_block_metrics gauge
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"} 0.6
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 8000
# TYPE nv_llm_input_token_len histogram
nv_llm_input_token_len_count{model="tensorrt_llm",response_metric_type="total_input_tokens",version="1"} 30
nv_llm_input_token_len_sum{model="tensorrt_llm",response_metric_type="total_input_tokens",version="1"} 900
# TYPE nv_llm_output_token_len histogram
nv_llm_output_token_len_count{model="tensorrt_llm",response_metric_type="total_output_tokens",version="1"} 30
nv_llm_output_token_len_sum{model="tensorrt_llm",response_metric_type="total_output_tokens",version="1"} 4200
"""

VLLM_IN_TRITON = b"""\
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="vllm_model",version="1"} 18
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="vllm_model",version="1"} 0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model="vllm_model",version="1"} 2
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model="vllm_model",version="1"} 5
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model="vllm_model",version="1"} 0.5
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_count{model="vllm_model",version="1"} 11
vllm:e2e_request_latency_seconds_sum{model="vllm_model",version="1"} 4.5
"""

TIME_S = 1000.0


def parsed(engine: EngineMetrics, page: bytes, *, decoupled: bool | None = False) -> EngineSample | Unknown:
    """What a page gives."""
    return EnginePage(engine).parse(page, time_s=TIME_S, place="the page", decoupled=decoupled)


def sample(engine: EngineMetrics, page: bytes, *, decoupled: bool | None = False) -> EngineSample:
    """What a page gives that has some of the engine's metrics."""
    found = parsed(engine, page, decoupled=decoupled)
    assert isinstance(found, EngineSample), found
    return found
