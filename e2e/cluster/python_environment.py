"""The project's virtual environment: exactly what locks/dev.txt pins, by hash. The package itself is not in it."""

import subprocess
import sys
import venv
from pathlib import Path

from e2e.cluster.steps import CannotMakeError, Making

LOCK = Path(__file__).parents[2] / "locks/dev.txt"


def make(making: Making) -> None:
    """Create the environment in the step's folder and fill it from the lock file."""
    try:
        venv.create(making.folder, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError as error:
        raise CannotMakeError(
            "Python cannot create virtual environments here. On Debian: apt-get install python3-venv"
        ) from error
    install = ("-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:")
    making.commands.run(python(making), *install, "--requirement", LOCK)


def python(making: Making) -> Path:
    """The environment's interpreter."""
    return making.folder / "bin/python"


def inputs() -> tuple[Path | str, ...]:
    """The lock file and the interpreter that runs this: another Python needs another environment."""
    return (LOCK, sys.version, sys.base_prefix)
