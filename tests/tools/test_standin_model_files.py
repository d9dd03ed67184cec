"""The stand-in refuses the model folders that the real engine refuses, and its log names the same cause."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.images.standin.tiny_model import write_tiny_model
from tests.support.recordings import vllm_recording
from tests.support.standin import Standin

ERROR = re.compile(r"[\w.]*(?:Error|Exception): ")
LOG_PREFIX = re.compile(r"^\(\w+ pid=\d+\) ERROR \S+ \S+ \[[^\]]+\] ")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model")


def without(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


def with_bad_json(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "lla')


def with_unknown_type(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "warpdrive"}))


def truncated(model: Path) -> None:
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:-1])


@pytest.mark.parametrize(
    ("recording", "spoil", "arguments"),
    [
        ("no-config", without("config.json"), ()),
        ("bad-json", with_bad_json, ()),
        ("unknown-architecture", with_unknown_type, ()),
        ("no-tokenizer", without("tokenizer.json"), ()),
        ("no-weights", without("model.safetensors"), ()),
        ("truncated-weights", truncated, ()),
        ("context-too-long", lambda _: None, ("--max-model-len", "1000000")),
        ("kv-cache-too-small", lambda _: None, ("--num-gpu-blocks-override", "8")),
    ],
)
def test_a_model_that_the_real_engine_refuses_ends_with_1_and_its_cause(
    model: Path, recording: str, spoil: Callable[[Path], None], arguments: tuple[str, ...]
) -> None:
    recorded = vllm_recording(f"logs/{recording}.log").read_text()
    spoil(model)
    with Standin(model, *arguments) as standin:
        assert standin.ends() == 1
        found = standin.output
    assert cause(found, str(model)) == cause(recorded, f"/model/{recording}")
    assert ends_vaguely(found) == ends_vaguely(recorded)
    assert "WARNING" in found, "the harmless line that a search for OSError finds first"


def test_a_port_that_is_taken_ends_with_1(model: Path) -> None:
    with Standin(model) as first:
        first.is_ready()
        with Standin(model, "--port", str(first.port)) as second:
            assert second.ends() == 1
            assert second.output.splitlines()[-1] == "OSError: [Errno 98] Address already in use"
    assert vllm_recording("logs/port-in-use.log").read_text().splitlines()[-1] == second.output.splitlines()[-1]


def test_a_folder_that_is_not_there_ends_with_1(tmp_path: Path) -> None:
    with Standin(tmp_path / "nowhere") as standin:
        assert standin.ends() == 1
        assert "HFValidationError: Repo id must be in the form" in standin.output


def test_a_shard_that_the_index_names_is_missed(model: Path) -> None:
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": "second"}}))
    with Standin(model) as standin:
        assert standin.ends() == 1
        assert "FileNotFoundError: Weight files referenced in index but missing" in standin.output


def test_corrupt_weights_are_served_without_an_error(model: Path) -> None:
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-4096:] = b"\xff" * 4096
    (model / "model.safetensors").write_bytes(weights)
    with Standin(model) as standin:
        assert standin.is_ready().request("GET", "/health").status == 200


def test_dummy_weights_need_none(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with Standin(model, "--load-format", "dummy") as standin:
        assert standin.is_ready().request("GET", "/health").status == 200


def test_an_engine_that_crashes_while_loading_is_never_ready(model: Path) -> None:
    with Standin(model, environment={"STANDIN_LOAD_ERROR": "RuntimeError: out of memory"}) as standin:
        assert standin.ends() == 1
        assert standin.is_refused()
        assert "ERROR" in standin.output
        assert cause(standin.output, str(model)) == ["RuntimeError: out of memory"]


def cause(log: str, model: str) -> list[str]:
    """The first error in a log, as lines (a reason may follow in the next one), without figures."""
    lines = [LOG_PREFIX.sub("", line).replace(model, "/model") for line in log.splitlines()]
    first = next(place for place, line in enumerate(lines) if ERROR.match(line))
    found = [line for line in lines[first : first + 2] if ERROR.match(line) or line.startswith("  Value error")]
    return [re.sub(r"\d+", "N", re.split(r"[(`]", line)[0].strip()) for line in found]


def ends_vaguely(log: str) -> bool:
    return "RuntimeError: Engine core initialization failed. See root cause above." in log
