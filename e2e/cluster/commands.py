"""Running other programs: output to a log file, and all of them ended when the run is stopped."""

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO


class StoppedError(Exception):
    """The run was stopped: nothing more is started."""


class CommandError(Exception):
    """A program ended with an error; the message holds its command line and its last lines of output."""


class Commands:
    """Runs programs for one step. Each gets a process group of its own, so that `stop` reaches its children too."""

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self.environment = dict(environment)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | IO[bytes] | None = None,
    ) -> None:
        """Run to the end. Raises CommandError when it ends with another status than 0."""
        self._execute(command, cwd, environment, stdin, capture=False)

    def output(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> str:
        """As `run`; returns what the program wrote to its standard output, without the last line break."""
        return self._execute(command, cwd, environment, stdin, capture=True).decode().rstrip("\n")

    def succeeds(self, *command: str | Path) -> bool:
        """Whether the program ends with status 0."""
        try:
            self.run(*command)
        except (CommandError, FileNotFoundError):
            return False
        return True

    def pipe(self, source: tuple[str | Path, ...], sink: tuple[str | Path, ...]) -> None:
        """Run both at once, the output of `source` going into `sink`. Raises CommandError when either fails."""
        with self._start(source, None, None, subprocess.DEVNULL, subprocess.PIPE) as first:
            assert first.stdout is not None
            try:
                self._execute(sink, None, None, first.stdout, capture=False)
            finally:
                first.stdout.close()
                first.wait()
            self._running.discard(first)
            if first.returncode:
                raise CommandError(self._report(source, first.returncode))

    def pause(self, seconds: float) -> None:
        """Wait. Raises StoppedError as soon as the run is stopped."""
        if self._stopped.wait(seconds):
            raise StoppedError

    def stop(self) -> None:
        """End what runs and start nothing more."""
        with self._lock:
            self._stopped.set()
            running = list(self._running)
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

    def _execute(
        self,
        command: tuple[str | Path, ...],
        cwd: Path | None,
        environment: Mapping[str, str] | None,
        stdin: bytes | IO[bytes] | None,
        *,
        capture: bool,
    ) -> bytes:
        data = stdin if isinstance(stdin, bytes) else None
        source = subprocess.PIPE if data is not None else stdin if stdin is not None else subprocess.DEVNULL
        assert not isinstance(source, bytes)
        process = self._start(command, cwd, environment, source, subprocess.PIPE if capture else None)
        try:
            output, _ = process.communicate(data)
        finally:
            self._running.discard(process)
        if process.returncode:
            raise CommandError(self._report(command, process.returncode))
        return output or b""

    def _start(
        self,
        command: tuple[str | Path, ...],
        cwd: Path | None,
        environment: Mapping[str, str] | None,
        stdin: int | IO[bytes],
        stdout: int | None,
    ) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, self.log.open("ab") as log:
            if self._stopped.is_set():
                raise StoppedError
            log.write(f"$ {shlex.join(map(str, command))}\n".encode())
            log.flush()
            process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=self.environment | dict(environment or {}),
                stdin=stdin,
                stdout=log if stdout is None else stdout,
                stderr=log,
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _report(self, command: tuple[str | Path, ...], status: int) -> str:
        tail = self.log.read_text(errors="replace").splitlines()[-12:]
        return "\n".join(
            [f"`{shlex.join(map(str, command))}` ended with status {status}:", *(f"    {line}" for line in tail)]
        )
