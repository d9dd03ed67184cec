"""What an engine's own error line means.

The launcher keeps the first real error line of the engine's output. The texts below are those of logs recorded from
the real vLLM 0.32, of PyTorch's documented out-of-memory errors, and of Triton 2.51; the first pattern that is found
decides. A line that none fits is EngineFailed, told as it is.
"""

import re

from modelyard.api.conditions import Reason, Reasons

_TABLE: tuple[tuple[Reason, str], ...] = (
    # PyTorch: torch.OutOfMemoryError ("CUDA out of memory. Tried to allocate ..."), "HIP" on ROCm
    (Reasons.ACCELERATOR_OUT_OF_MEMORY, r"(CUDA|HIP|XPU) out of memory"),
    (Reasons.ACCELERATOR_OUT_OF_MEMORY, r"(CUDA|hip)\w* ?error:? out of memory|ALLOC_FAILED"),
    # vLLM: another process holds the device's memory
    (Reasons.ACCELERATOR_OUT_OF_MEMORY, r"Free memory on device .* less than desired GPU memory utilization"),
    (Reasons.KV_CACHE_TOO_SMALL, r"larger than the available KV cache memory"),
    (Reasons.KV_CACHE_TOO_SMALL, r"No available memory for the cache blocks"),
    (Reasons.OUT_OF_MEMORY, r"[Cc]an(no|')t allocate memory|std::bad_alloc|\bMemoryError\b"),
    (Reasons.OUT_OF_MEMORY, r"Available memory on node \d+ .* less than desired CPU memory utilization"),
    (Reasons.PORT_IN_USE, r"[Aa]ddress already in use"),
    (Reasons.BAD_ARGUMENT, r"unrecognized (arguments|option)|error: (the following )?arguments? |invalid choice:"),
    (Reasons.BAD_ARGUMENT, r"greater than the derived max_model_len"),
    (Reasons.BAD_ARGUMENT, r"No module named '(runai_model_streamer|tensorizer|instanttensor)"),
    (Reasons.MODEL_NOT_LOADABLE, r"Invalid repository ID or local directory|HFValidationError|Repo id must be"),
    (Reasons.MODEL_NOT_LOADABLE, r"not a valid JSON file"),
    (Reasons.MODEL_NOT_LOADABLE, r"does not recognize this architecture|[Mm]odel architectures? .* not supported"),
    (Reasons.MODEL_NOT_LOADABLE, r"instantiate the backend tokenizer|Can't load tokenizer"),
    (Reasons.MODEL_NOT_LOADABLE, r"Cannot find any model weights|weights were not initialized from checkpoint"),
    (Reasons.MODEL_NOT_LOADABLE, r"Weight files referenced in index but missing"),
    (Reasons.MODEL_NOT_LOADABLE, r"SafetensorError|deserializing header"),
    # Triton: the server ends when a model of its repository fails to load
    (Reasons.MODEL_NOT_LOADABLE, r"failed to load (model )?'|Failed to (pre)?initialize Python stub"),
    (
        Reasons.MODEL_NOT_LOADABLE,
        r"Error parsing text-format inference\.ModelConfig|[Pp]oll failed for model directory",
    ),
    # The launcher itself: the image is none of the engine
    (Reasons.CONTAINER_START_FAILED, r"^this image has no `|^`[^`]+` cannot be started"),
)

LINES_LIMIT = 12
"""Lines that are looked at; the launcher writes at most six. The text is a tenant's: it may be anything."""

_COMPILED = tuple((reason, re.compile(pattern)) for reason, pattern in _TABLE)


def classify(message: str) -> tuple[Reason | None, str]:
    """What the launcher's termination ``message`` stands for, and the line of it that tells; empty when there is none.

    The reason is None when no line is of a kind that we know. The first line is then the most telling, with the last
    one behind it where it announces one: so an engine is told that ended without an error line.
    """
    lines = [line for line in message.splitlines() if line.strip()][:LINES_LIMIT]
    for line in lines:
        for reason, pattern in _COMPILED:
            if pattern.search(line):
                return reason, line
    if len(lines) > 1 and lines[0].endswith(":"):
        return None, f"{lines[0]} {lines[-1].strip()}"
    return None, lines[0] if lines else ""
