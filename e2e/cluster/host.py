"""What the cluster changes on the host outside the cache folder, so that it can be put back.

Every kubelet in a node container writes kernel settings of the host; the Docker engine adds firewall rules, a bridge
and IP forwarding.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

SETTINGS = ("kernel.panic", "kernel.panic_on_oops", "vm.overcommit_memory", "net.ipv4.ip_forward")


class Host:
    """The host's settings as they were before the first change, kept in a file under `state`."""

    def __init__(self, state: Path, proc: Path = Path("/proc/sys")) -> None:
        self._file = state / "host.json"
        self._proc = proc

    def record(self) -> None:
        """Remember the settings, unless an earlier run already did."""
        if self._file.exists():
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        values = {name: self._path(name).read_text().strip() for name in SETTINGS}
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(values))
        partial.replace(self._file)

    def restore(self, write: Callable[[Path, str], object] = Path.write_text) -> dict[str, str]:
        """Put the remembered settings back with `write` and forget them; returns those that differed."""
        if not self._file.exists():
            return {}
        before = json.loads(self._file.read_text())
        changed = {name: value for name, value in before.items() if self._path(name).read_text().strip() != value}
        for name, value in changed.items():
            write(self._path(name), value)
        self._file.unlink()
        return changed

    def _path(self, name: str) -> Path:
        return self._proc / name.replace(".", "/")


def write_through(image: str) -> Callable[[Path, str], object]:
    """A way to write the host's settings for a user who may use the engine but is not root: from a container of it."""
    container = ("docker", "run", "--rm", "--interactive", "--privileged", "--network=host", "--entrypoint=tee", image)

    def write(path: Path, value: str) -> None:
        subprocess.run((*container, path), input=value, text=True, check=True, capture_output=True)

    return write


class Firewall:
    """The host's packet filter, which a Docker engine fills with chains, rules and a policy of its own.

    `environment` is the one in which `iptables-save` and `iptables-restore` are found.
    """

    def __init__(self, state: Path, environment: Mapping[str, str]) -> None:
        self._file = state / "iptables-before"
        self._environment = dict(environment)

    def record(self) -> None:
        """Remember the rules as they are before the engine starts, unless an earlier run already did."""
        if not self._file.exists():
            partial = self._file.with_suffix(".partial")
            partial.write_text(self._run("iptables-save"))
            partial.replace(self._file)

    def restore(self) -> None:
        """Take the engine's rules out; rules that others made since stay."""
        if self._file.exists():
            self._run("iptables-restore", stdin=without_docker(self._run("iptables-save"), self._file.read_text()))
            self._file.unlink()

    def _run(self, program: str, stdin: str | None = None) -> str:
        ran = subprocess.run(
            [program], input=stdin, capture_output=True, text=True, check=True, env=os.environ | self._environment
        )
        return ran.stdout


def without_docker(rules: str, before: str) -> str:
    """What `iptables-save` printed, less Docker's chains and bridges, with the FORWARD policy of `before`.

    Docker sets that policy to DROP when it turns on IP forwarding, and leaves all of it behind when it ends.
    """
    policies = [line.split()[1] for line in before.splitlines() if line.startswith(":FORWARD ")] or ["ACCEPT"]
    kept = []
    for line in rules.splitlines():
        if re.search(r"DOCKER|docker0|\bbr-[0-9a-f]{12}\b", line):
            continue
        kept.append(re.sub(r"^:FORWARD \w+", f":FORWARD {policies[-1]}", line))
    return "\n".join([*kept, ""])
