"""The programs that set-up calls: Go where something is built, and kind."""

import re
import shutil
import subprocess
from pathlib import Path

from e2e.cluster import debian
from e2e.cluster.steps import CannotMakeError, Making, programs_folder

KIND_VERSION = "v0.33.0"
GO_OLDEST = (1, 24)
GO_PACKAGES = ("golang-1.24-go", "golang-1.24-src")


def go_on_path() -> str | None:
    """The `go` in the PATH, if it can build Kubernetes."""
    program = shutil.which("go")
    if not program:
        return None
    version = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"go(\d+)\.(\d+)", version)
    return program if match and (int(match[1]), int(match[2])) >= GO_OLDEST else None


def fetch_go(making: Making) -> None:
    """Link the host's Go under the step's folder, else unpack Debian's there."""
    program = go_on_path()
    if program:
        (making.folder / "go").symlink_to(program)
        return
    debian.require("Go 1.24 or newer is missing", "Install it (https://go.dev/dl/).")
    root = debian.unpack(making, GO_PACKAGES, "trixie")
    (making.folder / "go").symlink_to(root / "usr/lib/go-1.24/bin/go")


def go(making: Making) -> Path:
    """The `go` to call in a step that needs the step `go`."""
    return making.results["go"].folder / "go"


def install_kind(making: Making) -> None:
    """kind from Go modules, checked against Go's checksum database."""
    making.commands.run(
        *(go(making), "install", f"sigs.k8s.io/kind@{KIND_VERSION}"),
        environment={"GOBIN": str(making.folder), "CGO_ENABLED": "0", "GOFLAGS": ""},
    )


def kind(making: Making) -> Path:
    """The `kind` to call in a step that needs the step `kind`."""
    return making.results["kind"].folder / "kind"
