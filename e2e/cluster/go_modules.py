"""Sources of Go modules: what a program is built from, and the manifests that lie beside it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import tools
from e2e.cluster.steps import CannotMakeError, Making


@dataclass(frozen=True)
class Module:
    """A module at a version; ``sum`` is the hash that a go.sum would hold of it."""

    path: str
    version: str
    sum: str


def copy_source(making: Making, module: Module, folder: Path) -> None:
    """Fetch the module by the step `go`, and copy its files to ``folder``, which is made.

    Raises CannotMakeError when its content is not what ``sum`` pins.
    """
    reply = making.commands.output(tools.go(making), "mod", "download", "-json", f"{module.path}@{module.version}")
    fetched = json.loads(reply)
    if fetched["Sum"] != module.sum:
        raise CannotMakeError(f"{module.path} {module.version} has the hash {fetched['Sum']}, not {module.sum}.")
    shutil.copytree(fetched["Dir"], folder)
    for path in (folder, *folder.rglob("*")):  # the module cache is read-only
        path.chmod(path.stat().st_mode | 0o200)
