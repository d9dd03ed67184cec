"""Error lines of real engines, as the launcher keeps them, each with the reason that it stands for."""

import random
from pathlib import Path

import pytest

from modelyard.launcher.launcher import CauseFinder, write_termination_log
from modelyard.observe.reasons.engine_errors import LINES_LIMIT, classify
from tests.support.recordings import RECORDINGS

PYDANTIC = "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, "

LINES = [
    # The causes in logs of vLLM 0.32 on CPU that could not start, each broken on purpose; long ones are cut
    ("ModelNotLoadable", PYDANTIC + "Invalid repository ID or local directory specified: '/model/no-config'."),
    ("ModelNotLoadable", "OSError: It looks like the config file at '/model/config.json' is not a valid JSON file."),
    ("ModelNotLoadable", "Error parsing config for /model/x: Transformers does not recognize this architecture."),
    ("ModelNotLoadable", "ValueError: Couldn't instantiate the backend tokenizer from one of: (1) a `tokenizers`"),
    ("ModelNotLoadable", "RuntimeError: Cannot find any model weights with `/model/no-weights`"),
    ("ModelNotLoadable", "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: incomplete"),
    ("ModelNotLoadable", "FileNotFoundError: Weight files referenced in index but missing"),
    ("ModelNotLoadable", "ValueError: Following weights were not initialized from checkpoint"),
    ("ModelNotLoadable", "HFValidationError: Repo id must be in the form 'repo_name'"),
    ("BadArgument", PYDANTIC + "User-specified max_model_len (1000000) is greater than the derived max_model_len"),
    ("BadArgument", "vllm: error: unrecognized arguments: --no-such-flag"),
    ("BadArgument", "ModuleNotFoundError: No module named 'runai_model_streamer'"),
    ("KvCacheTooSmall", "ValueError: 0.18 GiB KV cache is larger than the available KV cache memory"),
    ("KvCacheTooSmall", "ValueError: No available memory for the cache blocks. Try increasing"),
    ("OutOfMemory", "Available memory on node 0 (17.89/23.54 GiB) is less than desired CPU memory utilization"),
    ("OutOfMemory", "RuntimeError: [enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ("PortInUse", "OSError: [Errno 98] Address already in use"),
    # PyTorch's and vLLM's texts for an accelerator's memory, from reports to vllm-project/vllm
    ("AcceleratorOutOfMemory", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a"),
    ("AcceleratorOutOfMemory", "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.63 GiB"),
    ("AcceleratorOutOfMemory", "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB."),
    ("AcceleratorOutOfMemory", "RuntimeError: CUDA error: out of memory"),
    ("AcceleratorOutOfMemory", "Free memory on device (3/23 GiB) is less than desired GPU memory utilization"),
    # Triton 2.51
    ("ModelNotLoadable", "Failed to initialize Python stub: RuntimeError: weights.bin: checksum mismatch"),
    ("ModelNotLoadable", "Failed to preinitialize Python stub: Python model file not found in '/model/x/1/model.py'"),
    ("ModelNotLoadable", "failed to load model 'double': at least one version must be available"),
    ("ModelNotLoadable", "failed to load 'double' version 1: Invalid argument: unable to find backend library"),
    ("ModelNotLoadable", "Poll failed for model directory 'double': failed to read text proto from config.pbtxt"),
    ("ModelNotLoadable", "failed to poll model 'missing': model not found in any model repository."),
    ("BadArgument", "tritonserver: unrecognized option '--no-such-flag'"),
    ("BadArgument", 'Bad option: "--http-restricted-api".'),
    # The launcher
    ("ContainerStartFailed", "this image has no `vllm` on its PATH (/usr/bin): set spec.engine.image"),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "line"), LINES)
def test_an_error_line_is_known(reason: str, line: str) -> None:
    found, shown = classify(line)
    assert found
    assert (found.name, shown) == (reason, line)


@pytest.mark.parametrize(
    "line", ["RuntimeError: something new", "OSError: [Errno 24] Too many open files", "CUDA error: device-side assert"]
)
def test_an_unknown_line_is_reported_as_it_is(line: str) -> None:
    assert classify(f"{line}\nand another") == (None, line)


def test_a_known_later_line_explains_more_than_an_unknown_first_one() -> None:
    found, shown = classify("RuntimeError: worker died\n\nOSError: [Errno 98] Address already in use")
    assert found
    assert (found.name, shown) == ("PortInUse", "OSError: [Errno 98] Address already in use")


def test_an_empty_log_has_no_reason() -> None:
    assert classify(" \n") == (None, "")


RECORDED = {
    "vllm/logs/bad-json.log": ("ModelNotLoadable", "is not a valid JSON file"),
    "vllm/logs/context-too-long.log": ("BadArgument", "greater than the derived max_model_len"),
    "vllm/logs/host-memory-exhausted.log": ("OutOfMemory", "can't allocate memory"),
    "vllm/logs/kv-cache-too-small.log": ("KvCacheTooSmall", "max seq len (8192)"),
    "vllm/logs/kv-space-unset.log": ("KvCacheTooSmall", "No available memory for the cache blocks"),
    "vllm/logs/no-config.log": ("ModelNotLoadable", "Invalid repository ID or local directory"),
    "vllm/logs/no-tokenizer.log": ("ModelNotLoadable", "instantiate the backend tokenizer"),
    "vllm/logs/no-weights.log": ("ModelNotLoadable", "Cannot find any model weights"),
    "vllm/logs/port-in-use.log": ("PortInUse", "Address already in use"),
    "vllm/logs/truncated-weights.log": ("ModelNotLoadable", "file not fully covered"),
    "vllm/logs/unknown-architecture.log": ("ModelNotLoadable", "model type `warpdrive`"),
    "vllm/logs/unknown-flag.log": ("BadArgument", "--no-such-flag"),
    "triton/logs/bad-config.log": ("ModelNotLoadable", "Error parsing text-format"),
    "triton/logs/init-raises.log": ("ModelNotLoadable", "weights.bin: checksum mismatch"),
    "triton/logs/missing-file.log": ("ModelNotLoadable", "Python model file not found"),
    "triton/logs/missing-module.log": ("ModelNotLoadable", "No module named"),
    "triton/logs/no-such-model.log": ("ModelNotLoadable", "failed to poll model"),
    "triton/logs/no-version.log": ("ModelNotLoadable", "at least one version must be available"),
    "triton/logs/unknown-backend.log": ("ModelNotLoadable", "unable to find backend library"),
    "triton/logs/unknown-flag.log": ("BadArgument", "--no-such-flag"),
}
"""Real failures: the log, the reason that follows, and what of the engine's own line the user must read."""

SILENT = {"triton/logs/empty-repository.log"}
"""It keeps running."""


def test_every_recorded_failure_has_its_reason() -> None:
    assert {str(log.relative_to(RECORDINGS)) for log in RECORDINGS.glob("*/logs/*.log")} == set(RECORDED) | SILENT


@pytest.mark.parametrize(("log", "expected"), RECORDED.items())
def test_a_recorded_failure_is_reported_by_its_reason_and_the_engines_own_line(
    log: str, expected: tuple[str, str], tmp_path: Path
) -> None:
    finder = CauseFinder()
    finder.feed((RECORDINGS / log).read_bytes())
    written = tmp_path / "termination-log"
    write_termination_log(str(written), finder.causes())
    reason, line = classify(written.read_text())
    assert reason
    assert reason.name == expected[0]
    assert expected[1] in line
    assert "Engine core initialization failed" not in line


def test_only_the_first_lines_of_a_hostile_message_are_looked_at() -> None:
    lines = ["a"] * LINES_LIMIT + ["OSError: [Errno 98] Address already in use"]
    assert classify("\n".join(lines)) == (None, "a")


@pytest.mark.parametrize("seed", range(20))
def test_any_text_of_a_termination_message_is_read(seed: int) -> None:
    chosen = random.Random(seed)
    pieces = [*(line for _, line in LINES), "\x00", "{" * 50, "\u2028", "\ud800", "Available memory on node 1 " * 40]
    text = "".join(chosen.choice([*pieces, "\n"]) for _ in range(200))[:4096]
    reason, line = classify(text)
    assert "\n" not in line
    assert reason is None or line
