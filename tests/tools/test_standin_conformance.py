"""The comparison with the real engine sees a difference where there is one, and none where there is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.images.standin.tiny_model import write_tiny_model
from e2e.support.conformance import Profile, differences, metric_shapes, profile
from tests.support.recordings import vllm_recording
from tests.support.standin import Standin


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def standin(model: Path) -> Iterator[Profile]:
    with Standin(model) as running:
        yield profile(f"http://127.0.0.1:{running.is_ready().port}")


def test_a_stand_in_conforms_to_another_with_other_names_and_limits(model: Path, standin: Profile) -> None:
    with Standin(model, "--served-model-name", "other", "--num-gpu-blocks-override", "24") as running:
        assert differences(profile(f"http://127.0.0.1:{running.is_ready().port}"), standin) == []


def test_a_server_without_statistics_and_with_a_key_differs(model: Path, standin: Profile) -> None:
    with Standin(model, "--disable-log-stats") as running:
        found = differences(profile(f"http://127.0.0.1:{running.is_ready().port}"), standin)
    assert any("vllm:num_requests_running" in line for line in found)
    assert not any(line.startswith("answer") for line in found)


def test_the_metrics_of_vllm_itself_are_those_recorded_from_the_real_engine(standin: Profile) -> None:
    recorded = metric_shapes(vllm_recording("fixtures/vllm-0.32.0-idle-after-2-requests.prom").read_text())
    ours = {name: parts for name, parts in standin.metrics.items() if not name.startswith("http_")}
    assert ours == {name: parts for name, parts in recorded.items() if not name.startswith("http_")}


def test_a_changed_bucket_label_or_help_is_seen(standin: Profile) -> None:
    text = 'a_bucket{le="1.0"} 1\n'
    for other in (
        'a_bucket{le="2.0"} 1\n',
        'a_bucket{le="1.0",x="y"} 1\n',
        '# HELP a_bucket b\na_bucket{le="1.0"} 1\n',
    ):
        assert differences(Profile({}, metric_shapes(text)), Profile({}, metric_shapes(other)))
    assert differences(Profile({}, metric_shapes(text)), Profile({}, metric_shapes('a_bucket{le="1.0"} 2\n'))) == []
    assert standin.metrics["vllm:e2e_request_latency_seconds"]["TYPE"] == "histogram"
