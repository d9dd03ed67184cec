"""What the fetcher's image has and this Python has not: a botocore that describes few services (see Dockerfile)."""

import functools
import shutil
import tempfile
from importlib.metadata import distribution
from pathlib import Path

_SERVICES = {"s3", "sts", "sso", "sso-oidc", "signin"}
"""To look through all others takes a tenth of the fetcher's start."""


def packages() -> Path:
    """A folder for PYTHONPATH; it ends with this process."""
    return Path(_made().name)


@functools.cache
def _made() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="bench-packages-")
    installed = Path(str(distribution("botocore").locate_file("botocore")))
    data = installed / "data"
    others = [path.name for path in data.iterdir() if path.is_dir() and path.name not in _SERVICES]

    def are_left_out(folder: str, _: list[str]) -> list[str]:
        return others if Path(folder) == data else []

    shutil.copytree(installed, Path(made.name, "botocore"), ignore=are_left_out)
    return made
