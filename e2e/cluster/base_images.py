"""Base images made from Debian packages, where no registry can be reached: a bare Debian, and one with Python.

The local Python base stands in for `python:3.11-slim`. It alone carries the host's CA certificates, so that builds
reach package indexes behind a proxy that signs with its own; images that users get never do.
"""

import os
import shutil
from pathlib import Path

from e2e.cluster import debian, images, registry
from e2e.cluster.steps import CannotMakeError, Making

NODE_RELEASE = "trixie"
PYTHON_RELEASE = "bookworm"
PYTHON = Path(__file__).parent / "python"
NOT_IN_IMAGES = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
)
# What an image never reads, as in Debian's own slim images: dpkg leaves it out of later packages too.
LEFT_OUT = (
    "".join(f"path-exclude /{folder}/*\n" for folder in NOT_IN_IMAGES[:4]) + "path-include /usr/share/doc/*/copyright\n"
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def debootstrap_inputs() -> tuple[str, ...]:
    """The host's release, whose debootstrap is taken."""
    return (debian.host_release(),) if debian.is_debian() else ()


def inputs(release: str) -> tuple[str, ...]:
    """What a bare Debian is made from, besides the packages of the day."""
    return (release, LEFT_OUT, *NOT_IN_IMAGES)


def certificates() -> tuple[Path, ...]:
    """The host's CA certificates, where it has any."""
    return (CERTIFICATES,) if CERTIFICATES.exists() else ()


def fetch_debootstrap(making: Making) -> None:
    """Unpack debootstrap under the step's folder."""
    remedy = "Give Docker access to docker.io and registry.k8s.io, then remove the record of the last try: " + str(
        registry.RECORD
    )
    debian.require("No image registry can be reached (docker pull fails)", remedy)
    if os.geteuid() != 0:
        raise CannotMakeError(
            "No image registry can be reached (docker pull fails), and only root can make base images from Debian "
            f"packages. {remedy}"
        )
    debian.unpack(making, ("debootstrap",), debian.host_release(), dependencies=True)


def bootstrap(making: Making, release: str) -> None:
    """The smallest Debian of a release as an image in the engine."""
    debootstrap = making.results["debootstrap"].folder / "root"
    root = making.folder / "root"
    making.commands.run(
        *(
            "sh",
            debootstrap / "usr/sbin/debootstrap",
            "--variant=minbase",
            release,
            root,
            debian.archive(debian.host_release()),
        ),
        environment=debian.library_environment(debootstrap),
    )
    (root / "etc/dpkg/dpkg.cfg.d/left-out").write_text(LEFT_OUT)
    making.commands.run(
        "find", *(root / folder for folder in NOT_IN_IMAGES), "-type", "f", "!", "-name", "copyright", "-delete"
    )
    making.commands.pipe(
        ("tar", "--directory", root, "--create", "."),
        ("docker", "import", "-", images.tag(f"debian-{release}", making)),
    )
    making.commands.run("rm", "-rf", "--one-file-system", root)


def build_python(making: Making) -> None:
    """Python 3.11 and pip on Debian, with the host's CA certificates."""
    base = images.tag(f"debian-{PYTHON_RELEASE}", making.results[f"debian-{PYTHON_RELEASE}"])
    for certificate in certificates():
        shutil.copy(certificate, making.folder)
    making.commands.run(
        *("docker", "build", "--tag", images.tag("python", making), "--build-arg", f"BASE={base}"),
        *("--build-context", f"certificates={making.folder}"),
        PYTHON,
    )
