"""What the launcher takes for the cause, from what the real engines printed when they could not start."""

import pytest

from modelyard.launcher.launcher import CAUSES_LIMIT, LINE_LIMIT_BYTES, CauseFinder, cut, error_in
from tests.support.recordings import RECORDINGS

CAUSES = {
    "vllm/logs/bad-json.log": "OSError: It looks like the config file at '/model/bad-json/config.json' is not a",
    "vllm/logs/context-too-long.log": "pydantic_core._pydantic_core.ValidationError: 1 validation error for "
    "ModelConfig Value error, User-specified max_model_len (1000000) is greater than the derived max_model_len",
    "vllm/logs/host-memory-exhausted.log": "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. "
    "DefaultCPUAllocator: can't allocate memory",
    "vllm/logs/kv-cache-too-small.log": "ValueError: To serve at least one request with the model's max seq len (8192)",
    "vllm/logs/kv-space-unset.log": "ValueError: No available memory for the cache blocks.",
    "vllm/logs/no-config.log": "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig "
    "Value error, Invalid repository ID or local directory specified: '/model/no-config'.",
    "vllm/logs/no-tokenizer.log": "ValueError: Couldn't instantiate the backend tokenizer from one of: (1) a",
    "vllm/logs/no-weights.log": "RuntimeError: Cannot find any model weights with `/model/no-weights`",
    "vllm/logs/port-in-use.log": "OSError: [Errno 98] Address already in use",
    "vllm/logs/truncated-weights.log": "safetensors._safetensors_rust.SafetensorError: Error while deserializing "
    "header: incomplete metadata, file not fully covered",
    "vllm/logs/unknown-architecture.log": "Error parsing config for /model/unknown-architecture: The checkpoint you "
    "are trying to load has model type `warpdrive`",
    "vllm/logs/unknown-flag.log": "vllm: error: unrecognized arguments: --no-such-flag",
    "triton/logs/bad-config.log": 'Error parsing text-format inference.ModelConfig: 1:24: Expected ":", found',
    "triton/logs/empty-repository.log": "",
    "triton/logs/init-raises.log": "failed to load 'double' version 1: Internal: RuntimeError: weights.bin: checksum "
    "mismatch",
    "triton/logs/missing-file.log": "Failed to preinitialize Python stub: Python model file not found in",
    "triton/logs/missing-module.log": "failed to load 'reverse' version 1: Internal: ModuleNotFoundError: No module "
    "named 'torch'",
    "triton/logs/no-such-model.log": "failed to poll model 'missing': model not found in any model repository.",
    "triton/logs/no-version.log": "failed to load model 'double': at least one version must be available",
    "triton/logs/unknown-backend.log": "failed to load 'double' version 1: Invalid argument: unable to find backend "
    "library for backend 'tensorrtllm'",
    "triton/logs/unknown-flag.log": "tritonserver: unrecognized option '--no-such-flag'",
}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def found_in(output: bytes, chunk_bytes: int = 65536) -> list[str]:
    finder = CauseFinder(Clock())
    for start in range(0, len(output), chunk_bytes):
        finder.feed(output[start : start + chunk_bytes])
    return finder.causes()


def test_every_recorded_log_has_an_expectation() -> None:
    assert {str(log.relative_to(RECORDINGS)) for log in RECORDINGS.glob("*/logs/*.log")} == set(CAUSES)


@pytest.mark.parametrize(("log", "cause"), CAUSES.items())
def test_the_first_line_kept_names_the_cause(log: str, cause: str) -> None:
    causes = found_in((RECORDINGS / log).read_bytes())
    assert causes[0].startswith(cause) if cause else causes == []


@pytest.mark.parametrize("chunk_bytes", [1, 7, 4096])
def test_the_cause_does_not_depend_on_how_the_output_is_cut(chunk_bytes: int) -> None:
    output = (RECORDINGS / "vllm/logs/truncated-weights.log").read_bytes()
    assert found_in(output, chunk_bytes) == found_in(output)


def test_a_generic_line_is_kept_only_when_there_is_no_other() -> None:
    generic = "RuntimeError: Engine core initialization failed. See root cause above."
    assert found_in(f"{generic}\n".encode()) == [generic]
    assert found_in(f"{generic}\nValueError: the real one\n".encode()) == ["ValueError: the real one"]


def test_colours_do_not_hide_an_error() -> None:
    assert found_in(b"\x1b[1;36m(EngineCore pid=9)\x1b[0;0m ValueError: no room\n") == ["ValueError: no room"]


def test_a_warning_that_quotes_an_error_is_none() -> None:
    assert error_in("(APIServer pid=9) WARNING 11-21 23:22:07 [x.py:1] OSError: [Errno 24] Too many open files") == ""


def test_an_error_long_after_the_first_begins_anew() -> None:
    clock = Clock()
    finder = CauseFinder(clock)
    finder.feed(b"ValueError: a request was wrong\n")
    clock.now_s = 3600
    finder.feed(b"RuntimeError: CUDA error: an illegal memory access was encountered\n")
    assert finder.causes() == ["RuntimeError: CUDA error: an illegal memory access was encountered"]


def test_what_failed_before_the_engine_came_up_is_forgotten() -> None:
    finder = CauseFinder(Clock())
    finder.feed(b"ValueError: tried something else then\n")
    finder.forget()
    assert finder.causes() == []


def test_only_the_first_errors_are_kept() -> None:
    output = b"".join(b"ValueError: number %d of many\n" % number for number in range(100))
    assert found_in(output) == [f"ValueError: number {number} of many" for number in range(CAUSES_LIMIT)]


def test_a_long_line_is_kept_from_its_beginning() -> None:
    causes = found_in(b"ValueError: " + b"x" * 1_000_000 + b"\n")
    assert len(causes[0]) == LINE_LIMIT_BYTES


def test_a_cut_text_is_still_text() -> None:
    assert cut("aé", 2) == "a"
