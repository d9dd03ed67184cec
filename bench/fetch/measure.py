"""Runs a client once, as a process of its own, and measures what it takes until its files are on the disk."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.fetch.clients import Command

_STOPWATCH = Path(__file__).parent / "stopwatch.py"


class ClientError(Exception):
    """A client failed, took too long, or brought other bytes than the server has."""


@dataclass(frozen=True)
class Sample:
    """One run. Times in seconds; the CPU is that of the client and of all processes that it started and waited for.

    ``sync_s`` is what the client left to the kernel: how long its files then took to be on the disk.
    """

    began_s: float
    wall_s: float
    sync_s: float
    cpu_s: float
    server_cpu_s: float
    peak_rss_bytes: int

    @property
    def durable_s(self) -> float:
        return self.wall_s + self.sync_s


def run(command: Command, limit_s: float) -> Sample:
    """Runs the command to its good end. Raises ClientError otherwise, with the end of its output."""
    server_cpu_before_s = _cpu_of_children_s()
    stopwatch = (sys.executable, "-I", "-S", _STOPWATCH, *command.arguments)
    with subprocess.Popen(
        stopwatch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=command.environment, text=True, process_group=0
    ) as process:
        try:
            figures, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise ClientError(f"it took more than {limit_s:.0f} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    took = json.loads(figures)
    if took.pop("exit_code") != 0:
        raise ClientError(f"it failed: {errors[-2000:].strip()}")
    server_cpu_s = _cpu_of_children_s() - server_cpu_before_s
    return Sample(**took, sync_s=_sync(command.result), server_cpu_s=server_cpu_s)


def _sync(folder: Path) -> float:
    """Makes the folder's files durable; returns how long that took."""
    started_s = time.monotonic()
    for parent, _, files in os.walk(folder):
        for name in (".", *files):
            descriptor = os.open(Path(parent, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    return time.monotonic() - started_s


def _cpu_of_children_s() -> float:
    """What the processes that run below this one have used until now: those of the servers, between two clients."""
    ticks, waiting = 0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
        waiting += map(int, children)
        for child in children:
            after_name = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])  # utime and stime: proc(5), fields 14 and 15
    return ticks / os.sysconf("SC_CLK_TCK")


def compare(result: Path, original: Path) -> None:
    """Raises ClientError unless both folders hold the same files with the same bytes."""
    compared = subprocess.run(
        ("diff", "--recursive", "--brief", result.resolve(), original), capture_output=True, text=True, check=False
    )
    if compared.returncode != 0:
        raise ClientError(f"it brought something else: {(compared.stdout + compared.stderr)[-2000:].strip()}")
