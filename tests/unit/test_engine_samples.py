"""What engines report becomes the same terms for all: held to pages that real ones sent."""

from dataclasses import fields

import pytest

from modelyard.integrations.engines import ENGINES, triton, vllm
from modelyard.integrations.engines.metrics import Definition, EngineMetrics, Metric
from modelyard.integrations.signals.engine_metrics import EngineSample, Histogram, Unknown
from tests.support.metrics_of_engines import OLD_VLLM, TENSORRT_LLM, VLLM_IN_TRITON, parsed, sample
from tests.support.recordings import triton_recording, vllm_recording

SIGNALS = {field.name for field in fields(EngineSample)} - {"time_s", "missing"}

PLAIN_TRITON = b"nv_inference_request_success 1\nnv_inference_request_failure 0\n"


def of_vllm(name: str) -> EngineSample:
    return sample(vllm.METRICS, vllm_recording(f"fixtures/vllm-0.32.0-{name}.prom").read_bytes())


def of_triton(name: str, *, decoupled: bool | None = False) -> EngineSample:
    page = triton_recording(f"fixtures/triton-2.51.0-{name}.prom").read_bytes()
    return sample(triton.METRICS, page, decoupled=decoupled)


def test_a_loaded_vllm() -> None:
    seen = of_vllm("load-4-running-38-waiting-kv100-18-preemptions")
    assert (seen.waiting, seen.running, seen.kv_usage, seen.preemptions_total) == (38, 4, 1.0, 18)
    assert seen.kv_capacity_tokens == 24 * 128
    assert (seen.prompt_tokens_total, seen.generation_tokens_total, seen.cached_prompt_tokens_total) == (2208, 13998, 0)
    assert seen.iterations_total == 5235
    assert seen.queue_s_total == pytest.approx(25.888, abs=1e-3)
    assert seen.compute_s_total == pytest.approx(46.957, abs=1e-3)
    assert seen.missing == {}


def test_when_the_counters_of_vllm_move() -> None:
    """Twelve requests have got their first token, eight of them have finished; each prompt has 184 tokens."""
    seen = of_vllm("load-4-running-38-waiting-kv100-18-preemptions")
    assert (seen.first_tokens_total, seen.finished_total) == (12, 8)
    assert seen.prompt_tokens_total == 12 * 184
    young = of_vllm("load-4-running-46-waiting-kv35")
    assert (young.first_tokens_total, young.prompt_tokens_total, young.generation_tokens_total) == (4, 4 * 184, 165)
    assert (young.finished_total, young.queue_s_total, young.compute_s_total) == (0, 0, 0)


def test_the_latencies_of_vllm() -> None:
    seen = of_vllm("load-4-running-38-waiting-kv100-18-preemptions")
    first, further = seen.time_to_first_token_s, seen.time_per_output_token_s
    assert first is not None
    assert further is not None
    assert (first.count, len(first.buckets), first.buckets[0.5], first.buckets[20.0]) == (12, 23, 4, 12)
    assert first.sum == pytest.approx(76.846, abs=1e-3)
    assert (further.count, further.buckets[0.01], further.buckets[float("inf")]) == (13986, 13872, 13986)
    assert list(first.buckets) == sorted(first.buckets)


@pytest.mark.parametrize(
    ("name", "waiting", "running", "kv_usage", "finished"),
    [
        ("idle-cold", 0, 0, 0, 0),
        ("idle-after-2-requests", 0, 0, 0, 2),
        ("idle-after-50-requests-131-preemptions", 0, 0, 0, 50),
        ("load-2-running-9-waiting-kv96", 9, 2, 22 / 23, 39),
        ("load-4-running-46-waiting-kv35", 46, 4, 8 / 23, 0),
        ("lora", 0, 0, 0, 1),
    ],
)
def test_every_recording_of_vllm(name: str, waiting: int, running: int, kv_usage: float, finished: int) -> None:
    seen = of_vllm(name)
    assert (seen.waiting, seen.running, seen.finished_total) == (waiting, running, finished)
    assert seen.kv_usage == pytest.approx(kv_usage)
    assert seen.missing == {}


def test_gauges_that_several_api_servers_do_not_have_yet_are_unknown() -> None:
    seen = of_vllm("api-server-count-2")
    assert (seen.waiting, seen.running, seen.kv_usage, seen.finished_total) == (None, None, None, 0)
    assert seen.missing["waiting"] == "the page has no sample of vllm:num_requests_waiting yet"


def test_without_statistics_the_flag_is_named() -> None:
    page = vllm_recording("fixtures/vllm-0.32.0-disable-log-stats.prom").read_bytes()
    seen = parsed(vllm.METRICS, page)
    assert isinstance(seen, Unknown)
    assert "vllm:num_requests_waiting" in seen.cause
    assert "--disable-log-stats" in seen.cause


def test_the_names_of_older_releases_of_vllm() -> None:
    seen = sample(vllm.METRICS, OLD_VLLM)
    assert (seen.waiting, seen.running, seen.kv_usage) == (7, 3, 0.25)
    assert seen.kv_capacity_tokens == 2048 * 16
    assert seen.time_per_output_token_s is not None
    assert seen.time_per_output_token_s.count == 90
    assert seen.missing["cached_prompt_tokens_total"] == (
        "the page has no metric vllm:prompt_tokens_cached_total, nor vllm:prefix_cache_hits_total"
    )


def test_engines_that_split_the_load_are_added_up_and_their_cache_usage_is_their_mean() -> None:
    page = b"".join(
        b'vllm:num_requests_waiting{engine="%d",model_name="m"} %d\nvllm:kv_cache_usage_perc{engine="%d"} %f\n'
        % (engine, 2 + engine, engine, usage)
        for engine, usage in enumerate((0.2, 0.6))
    )
    seen = sample(vllm.METRICS, page)
    assert seen.waiting == 5
    assert seen.kv_usage == pytest.approx(0.4)


def test_a_renamed_metric_is_unknown_and_named() -> None:
    page = vllm_recording("fixtures/vllm-0.32.0-load-4-running-46-waiting-kv35.prom").read_bytes()
    seen = sample(vllm.METRICS, page.replace(b"vllm:num_requests_waiting", b"vllm:requests_queued"))
    assert seen.waiting is None
    assert seen.missing == {"waiting": "the page has no metric vllm:num_requests_waiting"}
    assert seen.running == 4


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "many", "1e999"])
def test_a_value_that_cannot_be_right_is_unknown(value: str) -> None:
    seen = sample(vllm.METRICS, f"vllm:num_requests_waiting {value}\nvllm:num_requests_running 1\n".encode())
    assert (seen.waiting, seen.running) == (None, 1)
    assert "vllm:num_requests_waiting with a value that is no number" in seen.missing["waiting"]


def test_a_loaded_triton() -> None:
    seen = of_triton("load-26-pending")
    assert (seen.waiting, seen.finished_total, seen.iterations_total) == (26, 1, 1)
    assert seen.queue_s_total == pytest.approx(0.001159)
    assert seen.compute_s_total == pytest.approx(0.154e-3 + 74.492e-3 + 0.173e-3)
    assert (seen.running, seen.kv_usage) == (None, None)


@pytest.mark.parametrize(
    ("name", "waiting", "finished"),
    [("idle", 0, 0), ("load-draining", 10, 17), ("summary-latencies-and-rejections", 0, 5)],
)
def test_every_recording_of_triton(name: str, waiting: int, finished: int) -> None:
    seen = of_triton(name)
    assert (seen.waiting, seen.finished_total) == (waiting, finished)


@pytest.mark.parametrize(("decoupled", "why"), [(True, "is wrong for decoupled"), (None, "configuration is unknown")])
def test_the_queue_of_decoupled_models_is_unknown(*, decoupled: bool | None, why: str) -> None:
    seen = of_triton("decoupled-6-streams-in-flight-pending0", decoupled=decoupled)
    assert (seen.waiting, seen.compute_s_total) == (None, None)
    assert "nv_inference_pending_request_count" in seen.missing["waiting"]
    assert why in seen.missing["waiting"]
    assert seen.finished_total == 6


def test_tensorrt_llm_in_triton_reports_its_own_queue() -> None:
    seen = sample(triton.METRICS, TENSORRT_LLM, decoupled=True)
    assert (seen.waiting, seen.running, seen.running_limit, seen.kv_usage) == (3, 4, 512, 0.6)
    assert (seen.prompt_tokens_total, seen.generation_tokens_total, seen.finished_total) == (900, 4200, 30)


def test_vllm_in_triton_reports_its_own_queue() -> None:
    seen = sample(triton.METRICS, VLLM_IN_TRITON, decoupled=True)
    assert (seen.waiting, seen.running, seen.kv_usage, seen.finished_total) == (5, 2, 0.5, 11)


@pytest.mark.parametrize(
    ("page", "field", "expected"),
    [
        (TENSORRT_LLM.replace(b"nv_trt_llm_kv_cache", b"nv_kv_cache"), "kv_usage", True),
        (TENSORRT_LLM.replace(b"nv_llm_output", b"nv_out"), "generation_tokens_total", True),
        (TENSORRT_LLM.replace(b"nv_llm_", b"nv_"), "generation_tokens_total", False),
        (VLLM_IN_TRITON.replace(b"gpu_cache", b"cache"), "kv_usage", True),
        (VLLM_IN_TRITON, "prompt_tokens_total", False),
        (PLAIN_TRITON, "kv_usage", False),
        (PLAIN_TRITON, "running", False),
        (PLAIN_TRITON, "waiting", True),
    ],
)
def test_what_a_triton_lacks_is_missing_only_beside_what_comes_with_it(
    page: bytes, field: str, *, expected: bool
) -> None:
    """A model of another kind has no KV cache, and an old backend fewer metrics: neither is a renamed metric."""
    seen = sample(triton.METRICS, page)
    assert getattr(seen, field) is None
    assert (field in seen.missing) == expected


def test_whose_counters_move_at_work() -> None:
    assert not of_vllm("idle-cold").counts_late
    assert of_triton("idle").counts_late
    assert sample(triton.METRICS, TENSORRT_LLM).counts_late, "it counts tokens when a request ends"


def test_another_engine_is_a_table_of_its_own() -> None:
    table = {
        "waiting": (Definition((Metric("files_queue", (("kind", "read"),)),), "https://example.com"),),
        "compute_s_total": (Definition((Metric("files_ms"), Metric("disk_ms")), "https://example.com", factor=1e-3),),
        "time_to_first_token_s": (
            Definition((Metric("first_ms"),), "https://example.com", combined="histogram", factor=1e-3),
        ),
    }
    page = b"""\
files_queue{kind="read"} 2
files_queue{kind="write"} 5
files_ms 1500
disk_ms 500
first_ms_bucket{le="250"} 1
first_ms_bucket{le="+Inf"} 2
first_ms_sum 900
first_ms_count 2
"""
    seen = sample(EngineMetrics(8000, "/metrics", table, remedy=""), page)
    assert (seen.waiting, seen.compute_s_total) == (2, 2)
    assert seen.time_to_first_token_s == Histogram({0.25: 1, float("inf"): 2}, sum=0.9, count=2)
    assert (seen.running, seen.missing) == (None, {})


@pytest.mark.parametrize("name", ENGINES)
def test_every_name_has_its_source_and_feeds_a_field(name: str) -> None:
    metrics = ENGINES[name].metrics
    assert metrics is not None
    assert metrics.signals.keys() <= SIGNALS
    for definition in (each for definitions in metrics.signals.values() for each in definitions):
        assert definition.source.startswith(("https://", "tests/recordings/"))
