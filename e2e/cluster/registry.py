"""Where images come from: pulled where the engine reaches registries, else built here. Tried once and remembered."""

import os
import subprocess
from pathlib import Path

from e2e.cluster.steps import CannotMakeError, cache_folder

RECORD = cache_folder() / "images-come-from"
PULL, BUILD = "pull", "build"
SMALLEST_IMAGE = "docker.io/library/hello-world:latest"
TRY_S = 30


def can_pull() -> bool:
    """Whether to pull images. `MODELYARD_IMAGES=pull|build` decides instead of the try.

    Raises CannotMakeError for another value of it.
    """
    decision = os.environ.get("MODELYARD_IMAGES") or _recorded() or _try(RECORD)
    if decision not in (PULL, BUILD):
        raise CannotMakeError(
            f"MODELYARD_IMAGES is {decision!r}: it can be {PULL!r} or {BUILD!r}, or unset to find out."
        )
    return decision == PULL


def _recorded() -> str:
    return RECORD.read_text().strip() if RECORD.exists() else ""


def _try(record: Path) -> str:
    try:
        pulled = subprocess.run(
            ["docker", "pull", "--quiet", SMALLEST_IMAGE], capture_output=True, check=False, timeout=TRY_S
        )
        decision = PULL if pulled.returncode == 0 else BUILD
    except (subprocess.TimeoutExpired, FileNotFoundError):
        decision = BUILD
    record.parent.mkdir(parents=True, exist_ok=True)
    partial = record.with_suffix(f".{os.getpid()}")
    partial.write_text(decision)
    partial.replace(record)
    return decision
