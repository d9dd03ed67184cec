"""What the fetcher's image has and this Python has not: a botocore that describes few services (see Dockerfile)."""

import atexit
import functools
import re
import shutil
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from tests.support.background_process import REPOSITORY


@functools.cache
def packages() -> Path:
    """A folder for PYTHONPATH; it ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="bench-packages-"))
    atexit.register(shutil.rmtree, folder)
    installed = Path(str(distribution("botocore").locate_file("botocore")))
    data = installed / "data"
    kept = set(re.findall(r"! -name ([a-z0-9-]+)", (REPOSITORY / "Dockerfile").read_text()))
    # To look through all services takes a tenth of the fetcher's start.
    others = [path.name for path in data.iterdir() if path.is_dir() and path.name not in kept]

    def are_left_out(folder: str, _: list[str]) -> list[str]:
        return others if Path(folder) == data else []

    shutil.copytree(installed, folder / "botocore", ignore=are_left_out)
    return folder
