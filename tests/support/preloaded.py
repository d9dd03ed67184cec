"""A Python program that is started hundreds of times: forked from a process that has imported it, in milliseconds.

Run as `python -m tests.support.preloaded <module with main()> <module to import> ...`, it reads a JSON object per line
and answers each with a number: {"start": environment} with the new process's id, {"wait": id} with its exit code.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.background_process import REPOSITORY


class Preloaded:
    """A program that is ready to start."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self._server = server

    def start(self, environment: Mapping[str, str]) -> int:
        """Starts it with these variables, and returns its process id."""
        return self._request({"start": dict(environment)})

    def exit_code(self, pid: int) -> int:
        """Waits for its end; negative for a signal."""
        return self._request({"wait": pid})

    def _request(self, request: dict[str, Any]) -> int:
        assert self._server.stdin
        assert self._server.stdout
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return int(json.loads(self._server.stdout.readline()))


@contextmanager
def preloaded(module: str, also: Sequence[str], environment: Mapping[str, str]) -> Iterator[Preloaded]:
    """A program by the name of the module that has its main(); ``also`` are imported too. Ends what it started."""
    server = subprocess.Popen(
        [sys.executable, "-m", __name__, module, *also],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={"PYTHONPATH": os.pathsep.join((str(REPOSITORY / "operator"), str(REPOSITORY))), **environment},
        process_group=0,
    )
    with server:
        try:
            yield Preloaded(server)
        finally:
            os.killpg(server.pid, 9)


def _serve(module: str, also: Sequence[str]) -> None:
    program = importlib.import_module(module)
    for name in also:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer = os.fork()
            if not answer:
                _become(program.main, request["start"])
        else:
            _, status = os.waitpid(request["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _become(main: Any, environment: dict[str, str]) -> None:
    """The program, with no way back."""
    os.environ.clear()
    os.environ.update(environment)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    try:
        main()
    finally:
        os._exit(70)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2:])
