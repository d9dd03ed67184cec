"""The stand-in compiles as the real engine does: once, where a later start finds what the first one compiled."""

from pathlib import Path

from e2e.images.standin.compile_cache import FOLDER, GRAPH
from e2e.images.standin.tiny_model import write_tiny_model
from tests.support.standin import Standin


def test_a_second_start_loads_the_graph_that_the_first_compiled(tmp_path: Path) -> None:
    model, cache = write_tiny_model(tmp_path / "model"), tmp_path / "cache"
    environment = {"STANDIN_COMPILE_S": "0.1", "VLLM_CACHE_ROOT": str(cache)}

    with Standin(model, environment=environment) as first:
        assert "Directly load" not in first.logs("torch.compile took 0.10 s in total")
        first.is_ready()
    assert (cache / FOLDER / GRAPH).stat().st_size > 0

    with Standin(model, environment=environment) as second:
        assert "torch.compile took" not in second.logs("Directly load the compiled graph")
        second.is_ready()


def test_nothing_is_compiled_unless_it_is_requested(tmp_path: Path) -> None:
    with Standin(write_tiny_model(tmp_path / "model"), environment={"VLLM_CACHE_ROOT": str(tmp_path / "c")}) as engine:
        assert "torch.compile" not in engine.is_ready().output
    assert not (tmp_path / "c").exists()
