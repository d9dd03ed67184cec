"""What an engine's own error line means.

The launcher keeps the first real error line of the engine's output. Below are the error lines of any program, from
recorded logs and PyTorch's documented out-of-memory errors; those of one engine are in its file. The first
matching pattern decides. A line that matches none is EngineFailed, quoted as it is.
"""

import re

from modelyard.api.conditions import Reason
from modelyard.api.reasons import Reasons
from modelyard.integrations.engines import ENGINES

_TABLE: tuple[tuple[Reason, str], ...] = (
    # PyTorch: torch.OutOfMemoryError ("CUDA out of memory. Tried to allocate ..."), "HIP" on ROCm
    (Reasons.ACCELERATOR_OUT_OF_MEMORY, r"(CUDA|HIP|XPU) out of memory"),
    (Reasons.ACCELERATOR_OUT_OF_MEMORY, r"(CUDA|hip)\w* ?error:? out of memory|ALLOC_FAILED"),
    (Reasons.OUT_OF_MEMORY, r"[Cc]an(no|')t allocate memory|std::bad_alloc|\bMemoryError\b"),
    # runc, of a limit in which not even it can run
    (Reasons.OUT_OF_MEMORY, r"container init was OOM-killed|unable to set memory limit to \d+ \(current usage"),
    (Reasons.PORT_IN_USE, r"[Aa]ddress already in use"),
    (Reasons.BAD_ARGUMENT, r"unrecognized (arguments|option)|error: (the following )?arguments? |invalid choice:"),
    # The launcher itself: the image does not contain the engine
    (Reasons.CONTAINER_START_FAILED, r"^this image has no `|^`[^`]+` cannot be started"),
)

LINES_LIMIT = 12
"""Lines that are examined; the launcher writes at most six. The text is a tenant's: it may be anything."""

_OF_ENGINES = tuple(row for engine in ENGINES.values() for row in engine.error_lines)

_COMPILED = tuple((reason, re.compile(pattern)) for reason, pattern in _TABLE + _OF_ENGINES)


def classify(message: str) -> tuple[Reason | None, str]:
    """The reason in the launcher's termination ``message``, and the line it is based on; empty when there is none.

    The reason is None when no line is of a kind that we know. The first line is then the most telling, with the last
    one appended where it announces one: this covers an engine that exits without an error line.
    """
    lines = [line for line in message.splitlines() if line.strip()][:LINES_LIMIT]
    for line in lines:
        for reason, pattern in _COMPILED:
            if pattern.search(line):
                return reason, line
    if len(lines) > 1 and lines[0].endswith(":"):
        return None, f"{lines[0]} {lines[-1].strip()}"
    return None, lines[0] if lines else ""
