"""Error lines of real engines, as the launcher keeps them, each with the reason that it stands for."""

import pytest

from modelyard.observe.causes import classify

VLLM_LINES = {
    "no-config": (
        (
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, "
            "Invalid repository ID or local directory specified: '/model/no-config'."
        ),
        "ModelNotLoadable",
    ),
    "bad-json": (
        "OSError: It looks like the config file at '/model/bad-json/config.json' is not a valid JSON file.",
        "ModelNotLoadable",
    ),
    "unknown-architecture": (
        (
            "Error parsing config for /model/unknown-architecture: The checkpoint you are trying to load has model type "
            "`warpdrive` but Transformers does not recognize this architecture."
        ),
        "ModelNotLoadable",
    ),
    "no-tokenizer": (
        (
            "ValueError: Couldn't instantiate the backend tokenizer from one of: (1) a `tokenizers` library serialization "
            "file,"
        ),
        "ModelNotLoadable",
    ),
    "no-weights": ("RuntimeError: Cannot find any model weights with `/model/no-weights`", "ModelNotLoadable"),
    "truncated-weights": (
        (
            "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file "
            "not fully covered"
        ),
        "ModelNotLoadable",
    ),
    "context-too-long": (
        (
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, User-specified "
            "max_model_len (1000000) is greater than the derived max_model_len (max_position_embeddings=8192.0)"
        ),
        "BadArgument",
    ),
    "kv-cache-too-small": (
        (
            "ValueError: To serve at least one request with the model's max seq len (8192), (0.18 GiB KV cache is needed, "
            "which is larger than the available KV cache memory (0.02 GiB)."
        ),
        "KvCacheTooSmall",
    ),
    "kv-space-unset": (
        (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
            "initializing the engine"
        ),
        "KvCacheTooSmall",
    ),
    "node-memory-taken": (
        (
            "ValueError: Available memory on node 0 (17.89/23.54 GiB) on startup is less than desired CPU memory "
            "utilization (0.92, 21.66 GiB)"
        ),
        "OutOfMemory",
    ),
    "host-memory-exhausted": (
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
            "tried to allocate 1073479680 bytes. Error code 12 (Cannot allocate memory)"
        ),
        "OutOfMemory",
    ),
    "unknown-flag": ("vllm: error: unrecognized arguments: --no-such-flag", "BadArgument"),
    "port-in-use": ("OSError: [Errno 98] Address already in use", "PortInUse"),
    "shard-missing-in-index": ("FileNotFoundError: Weight files referenced in index but missing", "ModelNotLoadable"),
    "shard-missing": ("ValueError: Following weights were not initialized from checkpoint", "ModelNotLoadable"),
    "path-missing": ("HFValidationError: Repo id must be in the form 'repo_name'", "ModelNotLoadable"),
    "loader-missing": ("ModuleNotFoundError: No module named 'runai_model_streamer'", "BadArgument"),
}
"""From the logs of vLLM 0.32 on CPU that could not start, by what was broken on purpose."""

OTHER_LINES = {
    "cuda": (
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of "
            "11.53 GiB of which 187.75 MiB is free."
        ),
        "AcceleratorOutOfMemory",
    ),
    "cuda-before-torch-2.5": (
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.63 GiB",
        "AcceleratorOutOfMemory",
    ),
    "rocm": ("torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB.", "AcceleratorOutOfMemory"),
    "cuda-runtime": ("RuntimeError: CUDA error: out of memory", "AcceleratorOutOfMemory"),
    "device-taken": (
        "ValueError: Free memory on device (3.1/23.6 GiB) on startup is less than desired GPU memory utilization",
        "AcceleratorOutOfMemory",
    ),
    "triton-stub": (
        "Failed to initialize Python stub: RuntimeError: weights.bin: checksum mismatch",
        "ModelNotLoadable",
    ),
    "triton-no-version": (
        "failed to load model 'double': at least one version must be available under the version policy",
        "ModelNotLoadable",
    ),
    "image-without-engine": (
        "this image has no `vllm` on its PATH (/usr/bin): set spec.engine.image to an image of the engine",
        "ContainerStartFailed",
    ),
}
LINES = [pytest.param(*case, id=name) for name, case in (VLLM_LINES | OTHER_LINES).items()]


@pytest.mark.parametrize(("line", "reason"), LINES)
def test_an_error_line_is_known(line: str, reason: str) -> None:
    found, told = classify(line)
    assert found
    assert (found.name, told) == (reason, line)


@pytest.mark.parametrize(
    "line", ["RuntimeError: something new", "OSError: [Errno 24] Too many open files", "CUDA error: device-side assert"]
)
def test_an_unknown_line_is_told_as_it_is(line: str) -> None:
    assert classify(f"{line}\nand another") == (None, line)


def test_a_later_line_that_is_known_tells_more_than_an_unknown_first_one() -> None:
    found, told = classify("RuntimeError: worker died\n\nOSError: [Errno 98] Address already in use")
    assert found
    assert (found.name, told) == ("PortInUse", "OSError: [Errno 98] Address already in use")


def test_silence_has_no_reason() -> None:
    assert classify(" \n") == (None, "")
