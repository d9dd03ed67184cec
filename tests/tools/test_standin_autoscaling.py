"""What the stand-in can be made to report wrongly, slowly or under other names, read as the operator reads engines."""

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.images.standin.other_names import of_v0, renamed
from e2e.images.standin.tiny_model import write_tiny_model
from modelyard.integrations.engines import vllm
from modelyard.integrations.signals.engine_metrics import EngineSample
from tests.support.eventually import eventually
from tests.support.metrics_of_engines import sample
from tests.support.standin import Standin
from tests.tools.test_standin_metrics import fixture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@contextmanager
def standin(model: Path, **controls: str) -> Iterator[Standin]:
    environment = {f"STANDIN_{name.upper()}": value for name, value in controls.items()}
    with Standin(model, "--max-num-seqs", "2", environment=environment) as running:
        yield running.is_ready()


def read(running: Standin) -> EngineSample:
    return sample(vllm.METRICS, running.request("GET", "/metrics").body)


def test_its_load_shows_in_every_signal(model: Path) -> None:
    with standin(model, tokens_per_s="20") as running:
        idle = read(running)
        with running.streaming() as first, running.streaming(), running.streaming():
            first.first()
            eventually(lambda: read(running).waiting == 1)
            loaded = read(running)
    assert idle.missing == {}
    assert (idle.waiting, idle.running, idle.kv_usage, idle.finished_total) == (0, 0, 0, 0)
    assert loaded.running == 2
    for name in (
        "kv_usage",
        "prompt_tokens_total",
        "generation_tokens_total",
        "first_tokens_total",
        "iterations_total",
    ):
        assert getattr(loaded, name) > getattr(idle, name), name


@pytest.mark.parametrize(("gauges", "frozen"), [("current", False), ("of-last-step", True)])
def test_after_a_mass_abort_gauges_freeze_on_request_and_counters_stand(
    model: Path, *, gauges: str, frozen: bool
) -> None:
    with standin(model, gauges=gauges, tokens_per_s="20") as running:
        with running.streaming() as first, running.streaming(), running.streaming():
            first.first()
            eventually(lambda: read(running).waiting == 1)
        eventually(lambda: read(running).finished_total == 3)
        left, later = read(running), read(running)
        assert (left.generation_tokens_total, left.iterations_total) == (
            later.generation_tokens_total,
            later.iterations_total,
        )
        assert (later.running or 0) + (later.waiting or 0) > 0 if frozen else (later.running, later.waiting) == (0, 0)
        running.request("POST", "/v1/completions", {"model": "tiny", "prompt": "hi", "max_tokens": 1})
        assert (read(running).running, read(running).waiting) == (0, 0), "a step brings them up to date"


def test_a_renamed_metric_is_missing_by_its_name(model: Path) -> None:
    with standin(model, renamed_metric="vllm:num_requests_waiting=vllm:requests_queued") as running:
        found = read(running)
    assert found.missing == {"waiting": "the page has no metric vllm:num_requests_waiting"}
    assert found.running == 0


def test_the_first_engines_names_are_read_too(model: Path) -> None:
    with standin(model, metric_names="v0", tokens_per_s="20") as running, running.streaming() as first:
        first.first()
        found = read(running)
        page = running.request("GET", "/metrics").body.decode()
    assert found.running == 1
    assert found.kv_usage
    assert found.kv_capacity_tokens
    assert found.missing.keys() == {"cached_prompt_tokens_total"}
    assert "vllm:gpu_cache_usage_perc{model_name=" in page
    assert "kv_cache_usage_perc" not in page
    assert "engine=" not in page


def test_metrics_fall_silent_and_answer_again(model: Path) -> None:
    with standin(model) as running:
        running.request("POST", "/standin/silence_metrics")
        silent = running.connect()
        silent.request("GET", "/metrics")
        silent.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent.getresponse()
        silent.close()
        assert running.request("GET", "/health").status == 200
        running.request("POST", "/standin/answer_metrics")
        assert read(running).running == 0


def test_metrics_are_silent_from_the_start(model: Path) -> None:
    with standin(model, metrics="silent") as running:
        silent = http.client.HTTPConnection("127.0.0.1", running.port, timeout=0.2)
        silent.request("GET", "/metrics")
        with pytest.raises(TimeoutError):
            silent.getresponse()
        silent.close()


def test_renaming_leaves_all_other_text_as_it_is() -> None:
    recorded = fixture("load-4-running-46-waiting-kv35")
    text = renamed("vllm:num_requests_waiting", "vllm:queued")(recorded)
    assert text.replace("vllm:queued", "vllm:num_requests_waiting") == recorded
    assert len(re.findall(r"vllm:queued\b", text)) == 3
    assert "vllm:num_requests_waiting_by_reason{" in text
    latency = renamed("vllm:time_to_first_token_seconds", "vllm:ttft")(recorded)
    assert "vllm:time_to_first_token_seconds_bucket" not in latency
    assert 'vllm:ttft_bucket{engine="0",le="0.001",' in latency


def test_the_first_engines_page_has_nothing_that_came_later() -> None:
    page = of_v0(fixture("load-4-running-46-waiting-kv35"))
    names = set(re.findall(r"^# TYPE vllm:(\S+) ", page, re.MULTILINE))
    assert "time_per_output_token_seconds" in names
    assert names.isdisjoint(
        {
            "num_requests_waiting_by_reason",
            "prefix_cache_hits_total",
            "prompt_tokens_cached_total",
            "engine_sleep_state",
        }
    )
    assert "request_time_per_output_token_seconds" not in page
    assert "process_open_fds" in page
    assert 'vllm:cache_config_info{block_size="128",cache_dtype="auto",' in page
