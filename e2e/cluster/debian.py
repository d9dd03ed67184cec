"""Debian packages unpacked into a folder: nothing is installed on the host, and root is not needed to fetch them."""

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from e2e.cluster.steps import CannotMakeError, Making

SOURCES = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def is_debian() -> bool:
    """Whether the host is Debian itself: packages of Debian's releases are only mixed with its own libraries."""
    try:
        return platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        return False


def require(what: str, instead: str) -> None:
    """Raises CannotMakeError unless the host is Debian; `instead` lists what other users install themselves."""
    if not is_debian() or not KEYRING.exists():
        raise CannotMakeError(f"{what}: this host is not Debian, so set-up cannot fetch it. {instead}")


def host_release() -> str:
    """The host's release by name, as in `bookworm`."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def archive(release: str, sources: Path = SOURCES) -> str:
    """The archive that the host's own apt uses for its `release` of Debian; it has the other releases too.

    Raises CannotMakeError when apt's sources name none.
    """
    for path in (sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))):
        if path.suffix in {".list", ".sources"} and path.is_file():
            for uri, suites in named_archives(path.read_text()):
                if release in suites:
                    return uri
    raise CannotMakeError(
        f"No file under {sources} names an archive of Debian {release}. Add one; set-up reads it too."
    )


def named_archives(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each archive in a file of apt's sources, of either format, with its suites (sources.list(5))."""
    for line in text.splitlines():
        if found := re.match(r"deb\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)", line):
            yield found[1], [found[2]]
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(Types|URIs|Suites):\s*(.*)$", stanza, re.MULTILINE))
        if "deb" in fields.get("Types", "").split() and fields.get("URIs"):
            yield fields["URIs"].split()[0], fields.get("Suites", "").split()


def unpack(making: Making, packages: tuple[str, ...], release: str, *, dependencies: bool = False) -> Path:
    """Fetch packages of a Debian release and unpack them under the step's folder; returns that root.

    `dependencies` adds what they depend on and the host lacks: only sound for the host's own release.
    """
    state = making.folder / "apt" / release
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    sources = state / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {archive(host_release())} {release} main\n")
    private = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::Lists": state / "lists",
        "Dir::Cache": state,
        "Debug::NoLocking": 1,
        "APT::Sandbox::User": "root",
    }
    options = [f"-o{name}={value}" for name, value in private.items()]
    making.commands.run("apt-get", *options, "update")
    download = state / "archives"
    if dependencies:
        flags = ("--download-only", "--yes", "--no-install-recommends", "--reinstall", "install")
        making.commands.run("apt-get", *options, *flags, *packages)
    else:
        making.commands.run("apt-get", *options, "download", *packages, cwd=download)
    root = making.folder / "root"
    for package in sorted(download.glob("*.deb")):
        making.commands.run("dpkg-deb", "-x", package, root)
        package.unlink()
    return root


def library_environment(root: Path) -> dict[str, str]:
    """The environment in which programs under `root` find each other and their libraries."""
    libraries = root / "usr/lib/x86_64-linux-gnu"
    path = f"{root}/usr/sbin:{root}/usr/bin:{root}/sbin:{root}/bin"
    return {
        "PATH": f"{path}:{os.environ.get('PATH', '')}",
        "LD_LIBRARY_PATH": f"{libraries}:{root}/lib/x86_64-linux-gnu",
        "XTABLES_LIBDIR": f"{libraries}/xtables",
        "DEBOOTSTRAP_DIR": f"{root}/usr/share/debootstrap",
    }
