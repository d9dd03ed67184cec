"""The Docker engine: one that answers is used as it is; else, for root on Debian, one is started from its packages.

What is started here is ended by `stop`, which also takes Docker's rules out of the firewall. Debian 12's own engine
(20.10) cannot run privileged containers on machines that withhold a capability, so docker.io comes from Debian 13: it
needs no newer libc. Its containerd and runc are the host release's own.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from e2e.cluster import debian
from e2e.cluster.host import Firewall, Host
from e2e.cluster.steps import CannotMakeError, Making, Step, cache_folder, link_program

SOCKET = Path("/var/run/docker.sock")
HOST_PACKAGES = ("containerd", "runc", "iptables")
DOCKER_PACKAGES = ("docker.io", "docker-cli", "docker-buildx")
DOCKER_RELEASE = "trixie"
STATE = cache_folder() / "engine"
PIDFILE = STATE / "docker.pid"
RUNTIME = Path("/run/modelyard-docker")
START_TIMEOUT_S = 60
PLUGIN = Path.home() / ".docker/cli-plugins/docker-buildx"


def answers() -> bool:
    """Whether `docker info` reaches an engine."""
    if not shutil.which("docker"):
        return False
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def started_by_us() -> bool:
    """Whether the engine that runs was started by set-up: only then may set-up change its firewall and end it."""
    return _daemon_pid() is not None


def packages_root() -> Path | None:
    """Where the programs of the engine that set-up started lie."""
    if not started_by_us():
        return None
    return Path(f"/proc/{_daemon_pid()}/exe").resolve().parents[2]


def fetch_packages(making: Making) -> None:
    """Unpack the engine's programs under the step's folder. Raises CannotMakeError where set-up may not start one."""
    if os.environ.get("DOCKER_HOST"):
        raise CannotMakeError(
            f"DOCKER_HOST is {os.environ['DOCKER_HOST']}, but no engine answers there (`docker info` fails). "
            "Start that engine, or unset DOCKER_HOST."
        )
    if os.geteuid() != 0:
        raise CannotMakeError(
            "No Docker engine answers (`docker info` fails), and only root can start one. "
            "Start Docker, or add yourself to the group `docker`, and try again."
        )
    debian.require(
        "No Docker engine answers (`docker info` fails)",
        "Install and start Docker (https://docs.docker.com/engine/install/).",
    )
    debian.unpack(making, HOST_PACKAGES, debian.host_release(), dependencies=True)
    root = debian.unpack(making, DOCKER_PACKAGES, DOCKER_RELEASE)
    for tool in ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"):
        (root / "usr/sbin" / tool).symlink_to("xtables-nft-multi")


def start(making: Making) -> None:
    """Start the unpacked engine and wait until it answers."""
    root = making.results["engine-packages"].folder / "root"
    STATE.mkdir(parents=True, exist_ok=True)
    Host(STATE).record()
    Firewall(STATE, debian.library_environment(root)).record()
    _link_client(making, root)
    log = STATE / "dockerd.log"
    command: list[str | Path] = [
        root / "usr/sbin/dockerd",
        *("--host", f"unix://{SOCKET}"),
        *("--data-root", STATE / "data"),
        *("--exec-root", RUNTIME),
        *("--pidfile", PIDFILE),
    ]
    environment = making.commands.environment | debian.library_environment(root)
    with log.open("ab") as output:
        daemon = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers():
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise CannotMakeError(f"The Docker engine does not start. Its log shows why: {log}")
        time.sleep(0.5)


def _link_client(making: Making, root: Path) -> None:
    """Put `docker` into our own PATH, and buildx where the client looks for it, each only where the host has none."""
    if not shutil.which("docker"):
        link_program("docker", root / "usr/bin/docker")
    if not making.commands.succeeds("docker", "buildx", "version") and not PLUGIN.exists():
        PLUGIN.parent.mkdir(parents=True, exist_ok=True)
        PLUGIN.unlink(missing_ok=True)
        PLUGIN.symlink_to(root / "usr/libexec/docker/cli-plugins/docker-buildx")


def stop() -> None:
    """End the engine that set-up started, with all its containers, and what it left on the host. Images stay."""
    pid, root = _daemon_pid(), packages_root()
    if pid is not None and root is not None:
        os.kill(pid, signal.SIGTERM)
        while _daemon_pid() is not None:
            time.sleep(0.2)
        Firewall(STATE, debian.library_environment(root)).restore()
        subprocess.run(["ip", "link", "delete", "docker0"], check=False, capture_output=True)
        shutil.rmtree(RUNTIME, ignore_errors=True)
    if PLUGIN.is_symlink() and cache_folder() in PLUGIN.readlink().parents:
        PLUGIN.unlink()


def _daemon_pid() -> int | None:
    """The pid in the pidfile, while a dockerd has it: a pidfile may outlive a reboot."""
    try:
        pid = int(PIDFILE.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if name == "dockerd" else None


def steps() -> tuple[Step, ...]:
    """The engine as it is, or with its packages where none answers and for the one that set-up started before."""
    if answers() and not started_by_us():
        return (Step("engine", "the Docker engine that answers", 1, lambda _: None, is_made=lambda _: answers()),)
    return (
        Step(
            "engine-packages",
            "Docker's programs from Debian packages",
            15,
            fetch_packages,
            inputs=(*HOST_PACKAGES, *DOCKER_PACKAGES, DOCKER_RELEASE),
        ),
        Step("engine", "a Docker engine", 5, start, needs=("engine-packages",), is_made=lambda _: answers()),
    )
