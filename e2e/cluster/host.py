"""What the cluster changes on the host outside the cache folder, so that it can be put back.

Every kubelet in a node container writes kernel settings of the host; the Docker engine adds firewall rules, a bridge and
IP forwarding.
"""

import json
import shutil
import subprocess
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

    def restore(self) -> dict[str, str]:
        """Put the remembered settings back and forget them; returns those that differed."""
        if not self._file.exists():
            return {}
        changed = {}
        for name, value in json.loads(self._file.read_text()).items():
            if self._path(name).read_text().strip() != value:
                self._path(name).write_text(value)
                changed[name] = value
        self._file.unlink()
        return changed

    def _path(self, name: str) -> Path:
        return self._proc / name.replace(".", "/")
