"""The stand-in's metrics are the real engine's, byte for byte."""

import re
from math import inf
from pathlib import Path

import pytest

from e2e.images.standin import derive
from e2e.images.standin.exposition import Metrics, go_float
from tests.support.recordings import RECORDINGS, vllm_recording

STANDIN = Path(derive.__file__).parent
LABEL = re.compile(r'(\w+)="([^"]*)"')
RECORDED_BY_ONE_SERVER = (
    "idle-cold",
    "idle-after-2-requests",
    "idle-after-50-requests-131-preemptions",
    "load-2-running-9-waiting-kv96",
    "load-4-running-38-waiting-kv100-18-preemptions",
    "load-4-running-46-waiting-kv35",
    "disable-log-stats",
)


def fixture(name: str) -> str:
    return vllm_recording(f"fixtures/vllm-0.32.0-{name}.prom").read_text()


@pytest.mark.parametrize("name", ["metrics.prom", "metrics-multiprocess.prom"])
def test_each_data_file_is_what_the_recordings_give(name: str) -> None:
    assert (STANDIN / name).read_text() == derive.metrics(RECORDINGS / "vllm")[name], "run e2e.images.standin.derive"


def test_flags_are_the_options_that_a_help_text_defines() -> None:
    help_text = "usage: vllm serve\n\n  --port PORT           Port. (default: 8000)\n  --uds UDS\n      see --port\n"
    assert derive.flags(help_text) == "--port PORT\n--uds UDS\n"


@pytest.mark.parametrize("name", RECORDED_BY_ONE_SERVER)
def test_the_values_of_a_recording_give_its_bytes_back(name: str) -> None:
    recorded = fixture(name)
    template = (STANDIN / "metrics.prom").read_text()
    if name == "disable-log-stats":
        template = "".join(line for line in template.splitlines(keepends=True) if "vllm:" not in line)
    assert rendered(template, recorded) == recorded


def test_the_values_of_several_api_servers_give_their_bytes_back() -> None:
    recorded = fixture("api-server-count-2")
    assert rendered((STANDIN / "metrics-multiprocess.prom").read_text(), recorded) == recorded


def test_several_api_servers_show_gauges_only_after_a_request() -> None:
    metrics = Metrics((STANDIN / "metrics-multiprocess.prom").read_text(), server_labels(fixture("idle-cold")), now_s=0)
    metrics.set("vllm:num_requests_running", 3)
    assert "\nvllm:num_requests_running{" not in f"\n{metrics.text()}"
    metrics.first_request(now_s=0)
    metrics.set("vllm:num_requests_running", 3)
    assert 'vllm:num_requests_running{engine="0",model_name="tiny"} 3.0\n' in metrics.text()


def test_a_models_name_is_escaped() -> None:
    names = server_labels(fixture("idle-cold")) | {"model_name": 'a"b\\c'}
    metrics = Metrics((STANDIN / "metrics.prom").read_text(), names, now_s=0)
    assert 'vllm:num_requests_running{engine="0",model_name="a\\"b\\\\c"} 0.0\n' in metrics.text()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (0.34782608695652173, "0.34782608695652173"),
        (999999.0, "999999.0"),
        (1000000.0, "1e+06"),
        (1234567.5, "1.2345675e+06"),
        (2.10640896e9, "2.10640896e+09"),
        (1.7952889987414448e9, "1.7952889987414448e+09"),
        (inf, "+Inf"),
    ],
)
def test_values_are_written_as_prometheus_clients_do(value: float, text: str) -> None:
    assert go_float(value) == text


def rendered(template: str, recorded: str) -> str:
    """What the template gives with the values of a recording."""
    metrics = Metrics(template, server_labels(recorded), now_s=0)
    samples = [line.rpartition(" ") for line in recorded.splitlines() if not line.startswith("#")]
    for series, _, _ in samples:
        if series.startswith("http_requests_total{"):
            metrics.use(0, **dict(LABEL.findall(series)))
    for series, _, value in samples:
        metrics.put(series, float(value))
    return metrics.text()


def server_labels(recorded: str) -> dict[str, str]:
    """The labels that are one server's own, as a recording has them."""
    labels = {"model_name": derive.RECORDED_MODEL}
    for line in recorded.splitlines():
        if line.startswith(("vllm:cache_config_info{", "python_info{")):
            found = dict(LABEL.findall(line))
            labels |= {name: found[name] for names in derive.SERVER_LABELS for name in names if name in found}
    return labels
