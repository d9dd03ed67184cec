"""A program under test as a process of its own: its output read as it comes, and its end made sure of."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.eventually import eventually

REPOSITORY = Path(__file__).parents[2]


class BackgroundProcess:
    """Starts at once, in a process group of its own; the end of the context kills the group."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, process_group=0
        )
        self._output = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as output:
            while chunk := os.read(output.fileno(), 65536):
                self._output += chunk

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._output.decode(errors="replace")

    def logs(self, text: str) -> str:
        """Waits until the text is in the output, and returns all of that."""
        return eventually(lambda: self.output, lambda output: text in output)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def ends(self, within_s: float = 30.0) -> int:
        """Waits for the end and for the whole output; returns the exit code, negative for a signal."""
        code = self._process.wait(within_s)
        self._reader.join(within_s)
        return code

    def kill(self) -> None:
        """Ends it and what it started, as a power cut would."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
