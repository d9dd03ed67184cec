"""The programs that set-up calls: Go where something is built, and kind; and nginx for the benchmarks."""

import hashlib
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

from e2e.cluster import debian
from e2e.cluster.steps import CannotMakeError, Making, link_program

KIND_VERSION = "v0.33.0"
KIND_RELEASE = f"https://github.com/kubernetes-sigs/kind/releases/download/{KIND_VERSION}/kind-linux-amd64"
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


def nginx_inputs() -> tuple[str, ...]:
    """The host's release, whose nginx is taken."""
    return (debian.host_release(),) if debian.is_debian() else ()


def fetch_nginx(making: Making) -> None:
    """Unpack the host's release of Debian's nginx, with the module that waits before it answers."""
    debian.require("nginx for the benchmarks", "Run them on Debian, in a container if need be.")
    debian.unpack(making, ("nginx-light", "libnginx-mod-http-echo"), debian.host_release(), dependencies=True)


def install_kind(making: Making) -> None:
    """The `kind` in the PATH where it is this version; else built from Go modules; else the release, downloaded."""
    program = making.folder / "kind"
    found = shutil.which("kind")
    compiler = making.results["go"].folder / "go" if "go" in making.results else go_on_path()
    if found and f" {KIND_VERSION} " in making.commands.output(found, "version"):
        program.symlink_to(found)
    elif compiler:
        making.commands.run(
            *(compiler, "install", f"sigs.k8s.io/kind@{KIND_VERSION}"),
            environment={"GOBIN": str(making.folder), "CGO_ENABLED": "0", "GOFLAGS": ""},
        )
    else:
        _download_kind(program)
    link_program("kind", program)


def _download_kind(program: Path) -> None:
    try:
        with (
            urllib.request.urlopen(KIND_RELEASE, timeout=60) as binary,
            urllib.request.urlopen(f"{KIND_RELEASE}.sha256sum", timeout=60) as sums,
        ):
            content, expected = binary.read(), sums.read().split()[0].decode()
    except OSError as error:
        raise CannotMakeError(
            f"kind {KIND_VERSION} is missing: it is not in the PATH, Go (1.24 or newer) is not installed to build it, "
            f"and {KIND_RELEASE} cannot be fetched ({error}). Install one of the two."
        ) from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise CannotMakeError(f"{KIND_RELEASE} does not have the checksum that its release states. Try again.")
    program.write_bytes(content)
    program.chmod(0o755)


def kind(making: Making) -> Path:
    """The `kind` to call in a step that needs the step `kind`."""
    return making.results["kind"].folder / "kind"
