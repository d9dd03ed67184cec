"""The engine container's first process: ``python3 launcher.py [options] -- <the engine's command>``.

Engines handle neither PID 1 nor termination well, so this runs in front of them:

* It reaps orphans and forwards signals. The engine runs in a session of its own.
* On a stop signal before the engine was ready, it ends the engine's process group at once: while they load, vLLM and
  Triton ignore or lose SIGTERM. On a later one, it keeps serving until routers have dropped the pod, then lets the
  engine drain, and ends the group when the drain's time is up, so that clients see a closed connection and not silence.
* It keeps the first real error lines of the engine's output, whose last line is mostly generic, and writes them to the
  termination log. So explaining why a model does not start takes no permission to read logs.

* If the engine's version is unknown, it looks it up in the image and leaves out newer flags.

* If the node has a cache, it runs compile_cache.py to keep what the engine compiles there: in a process of its own, so
  that a fault of the cache cannot keep the engine from serving.

It is copied into images that are not ours: the standard library only, one file, any Python from 3.8 on.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable

TERMINATION_LOG_LIMIT_BYTES = 4096
LINE_LIMIT_BYTES = 4096
"""How much of a line is searched; the rest is passed on and forgotten."""
CAUSES_LIMIT = 3
EPISODE_S = 60.0
"""An error line that comes so long after the one kept first belongs to another mishap: a served request's, mostly."""
TERM_BEFORE_KILL_S = 0.5
READY_INTERVAL_S = 1.0
LOOPBACKS = ("127.0.0.1", "::1")
READY_TIMEOUT_S = 5.0
"""The engines answer after seconds when they are loaded."""
OUTPUT_END_S = 2.0
"""How long the rest of the output may take once the engine is gone; a stray process can hold the pipe for ever."""
RESTORE_LIMIT_S = 120.0
"""How long the engine may wait for what was compiled before: about what compiling takes."""
RESTORE_INTERVAL_S = 0.2
VERSION_LIMIT_S = 20.0
"""How long the lookup of the engine's version may take: starting Python on a busy node, nothing else."""
FORWARDED_SIGNALS = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

VERSION_INTERVAL_S = 0.05
VERSION_OF = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
_RELEASE = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")
_UNTAGGED_BUILD = re.compile(r"0\.[01]\.dev")
"""What setuptools-scm calls a build from sources without the project's tags: no version at all."""
_EXEC_LINE = re.compile(r"""^\'\'\'exec\' "?([^"\n]+?)"? "\$0\"""", re.MULTILINE)
"""The second line of a console script whose interpreter's path is too long for the first, as pip writes it."""

# An engine's line without its decoration: "(Worker pid=1) ERROR 11-21 23:21:15 [file.py:9] ", Triton's
# `E1121 23:24:22.9 7 file.cc:72] "..."`, colours.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(
    r"(?:\(\w+(?: pid=\d+)?\) ?)*(?:(?P<level>[A-Z]+) \d\d-\d\d [\d:.]+ \[[^\]]*\] ?|\[libprotobuf ERROR [^\]]*\] ?)?"
)
_TRITON = re.compile(r"(?P<level>[IWEF])\d{4} [\d:.]+ \d+ (?P<file>[\w.]+):\d+\] +(?P<text>.*)")

_EXCEPTION = re.compile(r"(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Timeout)(?:: .*|$)")
_FAILURE = re.compile(
    r"Error [a-z]|[\w.-]+: error: |error: |CUDA error|"
    r"Failed to (?:pre)?initialize Python stub|[\w.-]+: unrecognized option|Bad option: "
)
_HARMLESS = re.compile(r"CudaDriverHelper has not been initialized|Failed to initialize NVML|DCGM unable to start")
_GENERIC = re.compile(
    r"Engine core initialization failed|WorkerProc initialization failed|failed to start\.|"
    r"See (?:root cause above|stack trace for root cause)|creating server: Internal - failed to load all models|"
    # Triton's later line names the model too; of a model.py that is missing there is none.
    r"Failed to (?:(?:pre)?initialize Python stub|create instance)"
)
_SUPERSEDED = "During handling of the above exception, another exception occurred:"


class CauseFinder:
    """Reads an engine's output as it comes and keeps its first real error lines.

    Bounded in memory, whatever the output. ``clock`` gives seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._line = bytearray()
        self._causes: list[str] = []
        self._generic = ""
        self._began_s = 0.0
        self._wants_detail = False
        self._last_lines: collections.deque[str] = collections.deque(maxlen=5)

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the output."""
        first, *others = chunk.split(b"\n")
        self._extend(first)
        for piece in others:
            self._end_line()
            self._extend(piece)

    def _extend(self, piece: bytes) -> None:
        self._line += piece[: LINE_LIMIT_BYTES - len(self._line)]

    def _end_line(self) -> None:
        text = _COLOUR.sub("", self._line.decode("utf-8", "replace")).rstrip()
        self._line.clear()
        if text:
            self._last_lines.append(text)
        self._read(text)

    def _read(self, text: str) -> None:
        if self._wants_detail:
            self._wants_detail = False
            if self._causes and text.strip():
                self._causes[-1] += " " + text.strip()
                return
        if text.endswith(_SUPERSEDED):
            del self._causes[-1:]
            return
        cause = error_in(text)
        if cause:
            self._keep(cause)

    def _keep(self, cause: str) -> None:
        now_s = self._clock()
        if _GENERIC.search(cause):
            self._generic = self._generic or cause
            return
        if self._causes and now_s - self._began_s > EPISODE_S:
            self.forget()
        if not self._causes:
            self._began_s = now_s
        if len(self._causes) < CAUSES_LIMIT and not any(cause in known for known in self._causes):
            self._causes.append(cause)
            # pydantic and others put the reason on the next line
            self._wants_detail = bool(re.search(r"validation errors? for \w+$|:$", cause))

    def forget(self) -> None:
        """What was an error so far is over: the engine came up, or has long served on."""
        self._causes, self._generic, self._wants_detail = [], "", False

    def causes(self) -> list[str]:
        """The error lines kept, the most specific first; empty when none was seen."""
        return self._causes or ([self._generic] if self._generic else [])

    def last_lines(self) -> list[str]:
        """The end of the output, for when it has no error line."""
        return list(self._last_lines)


def error_in(line: str) -> str:
    """The error in a line of an engine's output, without the line's decoration; empty if it has none."""
    triton = _TRITON.match(line)
    if triton:
        text = triton.group("text").strip('"').split("\\n")[0]
        is_error = triton.group("level") in "EF" or _FAILURE.search(text) is not None
    else:
        prefix = _PREFIX.match(line)
        text, level = (line[prefix.end() :], prefix.group("level")) if prefix else (line, None)
        is_warning = level not in (None, "ERROR", "CRITICAL", "FATAL")
        is_error = not is_warning and (_EXCEPTION.match(text) or _FAILURE.match(text)) is not None
    return text.strip() if is_error and not _HARMLESS.search(text) else ""


def cut(text: str, limit_bytes: int) -> str:
    """The text's beginning, at most so many bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:limit_bytes].decode("utf-8", "ignore")


def say(text: str) -> None:
    """A line of the launcher's own, straight to the container's log."""
    write_all(2, ("launcher: " + text + "\n").encode("utf-8", "replace"))


def write_all(descriptor: int, data: bytes) -> None:
    """Writes every byte, past any buffer of Python's."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def answers_200(url: str) -> bool:
    """Whether a GET of the URL on localhost returns 200, over IPv4 or IPv6: an engine may listen on one only.

    Uses no proxy and resolves no name, whatever the environment and the image configure.
    """
    parts = urllib.parse.urlsplit(url)
    hosts = LOOPBACKS if parts.hostname == "localhost" else (parts.hostname or "",)
    return any(_answers_200(host, parts.port, parts.path or "/") for host in hosts)


def _answers_200(host: str, port: int | None, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=READY_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Engine:
    """The engine's process and its group, from start to end."""

    def __init__(self, command: list[str]) -> None:
        """Starts the command. Raises OSError when it cannot be started."""
        self.output, writer = os.pipe()
        self.process = subprocess.Popen(  # noqa: S603 - the command is the pod's own
            command, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, start_new_session=True
        )
        os.close(writer)
        self.ended = threading.Event()

    def wait(self) -> int:
        """Waits for its end and returns its exit code, 128 + N for signal N. Reaps every orphan on the way."""
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == self.process.pid:
                break
        self.ended.set()
        self.process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        code = self.process.returncode
        return code if code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """Signals the engine's first process alone, which signals its workers."""
        if not self.ended.is_set():
            os.kill(self.process.pid, number)

    def signal_group(self, number: int) -> None:
        """Signals all that the engine started, also when it has itself ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def end(self) -> None:
        """Ends the whole group at once; a process that handles SIGTERM gets a moment for it."""
        self.signal_group(signal.SIGTERM)
        self.ended.wait(TERM_BEFORE_KILL_S)
        self.signal_group(signal.SIGKILL)


class Launcher:
    """One run: the threads around the engine, and the state that they share."""

    def __init__(self, options: argparse.Namespace, engine: Engine, told_to_stop: threading.Event) -> None:
        self._options = options
        self._engine = engine
        self._told_to_stop = told_to_stop
        self._ready = threading.Event()
        self._finder = CauseFinder()

    def run(self) -> int:
        """Stays until the engine has ended, writes the cause to the termination log, and returns the exit code."""
        for number in FORWARDED_SIGNALS:
            signal.signal(number, lambda number, _: self._engine.signal(number))
        for work in (self._watch_readiness, self._stop_at_signal):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()
        output = threading.Thread(target=self._pass_output_on, name="output", daemon=True)
        output.start()
        code = self._engine.wait()
        self._engine.signal_group(signal.SIGKILL)
        output.join(OUTPUT_END_S)
        self._report_end(code)
        return code

    def _watch_readiness(self) -> None:
        """Records that the engine was ready: at the moment of a signal it may be too busy to answer its probe."""
        while not self._engine.ended.wait(READY_INTERVAL_S):
            if answers_200(self._options.ready_url):
                self._ready.set()
                self._finder.forget()
                say("the engine is ready")
                start_compile_cache("publish", self._options)  # reaped by Engine.wait
                return

    def _pass_output_on(self) -> None:
        while True:
            chunk = os.read(self._engine.output, 65536)
            if not chunk:
                return
            write_all(1, chunk)
            self._finder.feed(chunk)

    def _stop_at_signal(self) -> None:
        self._told_to_stop.wait()
        if not self._ready.is_set():
            say("SIGTERM before the model was ready: stopping the engine now")
            self._engine.end()
            return
        say(f"SIGTERM: serving for another {self._options.pause_s:g} s, then draining")
        if self._engine.ended.wait(self._options.pause_s):
            return
        self._engine.signal(signal.SIGTERM)
        if not self._engine.ended.wait(self._options.drain_s):
            say(f"the drain's {self._options.drain_s:g} s are up: killing the engine and its connections")
            self._engine.signal_group(signal.SIGKILL)

    def _report_end(self, code: int) -> None:
        """Writes why the engine ended, unless it was stopped after it had served: then nothing is wrong."""
        causes = self._finder.causes()
        if self._told_to_stop.is_set():
            if causes and not self._ready.is_set():
                write_termination_log(self._options.termination_log, causes)
            return
        name = self._options.command[0]
        if code == 128 + signal.SIGKILL:
            killed = f"`{name}` was killed (SIGKILL), usually for lack of memory: raise memory in spec.resources"
            causes = [killed, *causes]
        elif not causes:
            causes = [f"`{name}` exited with code {code}; its last output:"]
            causes += self._finder.last_lines()
        write_termination_log(self._options.termination_log, causes)


def start_compile_cache(action: str, options: argparse.Namespace) -> subprocess.Popen[bytes] | None:
    """Starts compile_cache.py, if the engine has a cache on the node. None if it cannot be started."""
    if not options.compile_cache:
        return None
    program = pathlib.Path(__file__).with_name("compile_cache.py")
    places = [f"--cache={options.compile_cache}", f"--engine-cache={options.engine_cache}"]
    command = [sys.executable, str(program), action, *places, "--pod-uid=" + os.environ.get("POD_UID", "")]
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
    except OSError as error:
        say(f"the compile cache is left alone: {error}")
        return None


def restore_compile_cache(options: argparse.Namespace, told_to_stop: threading.Event) -> None:
    """Waits until the compile cache is restored, the restore fails, or it takes too long."""
    deadline_s = time.monotonic() + RESTORE_LIMIT_S
    process = start_compile_cache("restore", options)
    while process and process.poll() is None:
        if told_to_stop.wait(RESTORE_INTERVAL_S) or time.monotonic() > deadline_s:
            process.kill()


def known_flags(options: argparse.Namespace, told_to_stop: threading.Event) -> list[str]:
    """The engine's command without the arguments that the package installed in this image is too old for."""
    if not options.package:
        return list(options.command)
    text = package_version(options.package, options.command[0], told_to_stop)
    installed = release(text)
    if installed is None:
        say(f"the version of {options.package} is not known ({text or 'not found'}): every flag is given to it")
        return list(options.command)
    doubtful = [entry.partition(":") for entry in options.since]
    too_new = [argument for since, _, argument in doubtful if installed < (release(since) or installed)]
    say(f"{options.package} {text} is installed; flags that it does not know: {' '.join(too_new) or 'none'}")
    return [argument for argument in options.command if argument not in too_new]


def package_version(package: str, command: str, told_to_stop: threading.Event) -> str:
    """The version of the Python package that provides the command; empty if it cannot be found in time."""
    arguments = [interpreter_of(shutil.which(command) or ""), "-c", VERSION_OF, package]
    try:
        process = subprocess.Popen(  # noqa: S603 - the engine's own interpreter
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return ""
    deadline_s = time.monotonic() + VERSION_LIMIT_S
    while process.poll() is None:
        if told_to_stop.wait(VERSION_INTERVAL_S) or time.monotonic() > deadline_s:
            process.kill()
    with process.stdout or contextlib.nullcontext() as output:
        output_bytes = output.read(256) if output and process.returncode == 0 else b""
    return " ".join(output_bytes.decode("utf-8", "replace").split())


def interpreter_of(script: str) -> str:
    """The Python that runs a console script, by its first lines; the launcher's own where these name none."""
    try:
        with pathlib.Path(script).open("rb") as file:
            head = file.read(2048).decode("utf-8", "replace")
    except OSError:
        return sys.executable
    long_path = _EXEC_LINE.search(head)
    if long_path:
        return long_path.group(1)
    words = head.split("\n", 1)[0][2:].split() if head.startswith("#!") else []
    named = [word for word in words if pathlib.PurePath(word).name.startswith("python")]
    return shutil.which(named[0]) or sys.executable if named else sys.executable


def release(version: str) -> tuple[int, int, int] | None:
    """The numbers of a version such as 0.9.2.dev364+gb432b7a28; None if it is not a release's."""
    match = None if _UNTAGGED_BUILD.match(version) else _RELEASE.match(version)
    return (int(match.group(1)), int(match.group(2)), int(match.group(3) or 0)) if match else None


def write_termination_log(path: str, lines: list[str]) -> None:
    """Writes the lines, the first of them at greatest length, within the kubelet's limit."""
    share = TERMINATION_LOG_LIMIT_BYTES // (CAUSES_LIMIT + 3)
    text = "\n".join([cut(lines[0], 2 * share), *(cut(line, share - 1) for line in lines[1:])])
    try:
        pathlib.Path(path).write_text(cut(text, TERMINATION_LOG_LIMIT_BYTES), encoding="utf-8")
    except OSError as error:
        say(f"the termination log cannot be written: {error}")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options before ``--`` and the command after it."""
    parser = argparse.ArgumentParser(prog="launcher.py", usage="%(prog)s [options] -- command [argument ...]")
    parser.add_argument("--ready-url", required=True, help="URL that returns 200 once the engine is ready")
    parser.add_argument("--pause-s", type=float, required=True, help="seconds to keep serving after SIGTERM")
    parser.add_argument("--drain-s", type=float, required=True, help="seconds that draining may then take")
    parser.add_argument("--entrypoint", help="script that runs the command, where the image has it")
    parser.add_argument(
        "--ipv6-argument",
        action="append",
        default=[],
        help="added to the command where the first of the pod's addresses, in MODELYARD_POD_IPS, is of IPv6",
    )
    parser.add_argument("--dual-stack", action="store_true", help="add it where any of them is: IPv4 is served too")
    parser.add_argument("--package", help="Python package of the engine, whose version decides over --since")
    parser.add_argument(
        "--since", action="append", default=[], metavar="VERSION:ARGUMENT", help="left out for an older engine"
    )
    parser.add_argument("--compile-cache", help="folder of the node's cache for what the engine compiles")
    parser.add_argument("--engine-cache", help="folder in which the engine keeps what it compiles")
    parser.add_argument("--termination-log", default="/dev/termination-log")
    at = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:at])
    options.command = arguments[at + 1 :]
    if not options.command:
        parser.error("the engine's command is missing after --")
    return options


def ipv6_arguments(options: argparse.Namespace, pod_ips: str) -> list[str]:
    """The arguments that make the engine listen on IPv6, if the pod has such an address."""
    addresses = pod_ips.split(",") if options.dual_stack else pod_ips.split(",")[:1]
    return options.ipv6_argument if any(":" in address for address in addresses) else []


def with_entrypoint(script: str | None, command: list[str]) -> list[str]:
    """The command through the image's own entrypoint script, or as it is in an image without it."""
    return [script, *command] if script and os.access(script, os.X_OK) else command


def why_not_started(command: str, error: OSError) -> tuple[str, int]:
    """Explains why a command does not start, with the exit code that a shell returns for it."""
    if not isinstance(error, FileNotFoundError):
        return f"`{command}` cannot be started: {error.strerror}", 126
    return (
        "this image has no `{}` on its PATH ({}): set spec.engine.image to an image of the engine".format(
            command, os.environ.get("PATH", "")
        ),
        127,
    )


def main() -> int:
    """Runs the engine to its end and returns the exit code: the engine's, or 128 + N when signal N ended it."""
    options = parse(sys.argv[1:])
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # before the engine: PID 1 without a handler ignores them
        signal.signal(number, lambda *_: told_to_stop.set())
    command = known_flags(options, told_to_stop)
    restore_compile_cache(options, told_to_stop)
    try:
        command += ipv6_arguments(options, os.environ.get("MODELYARD_POD_IPS", ""))
        engine = Engine(with_entrypoint(options.entrypoint, command))
    except OSError as error:
        text, code = why_not_started(options.command[0], error)
        say(text)
        write_termination_log(options.termination_log, [text])
        return code
    return Launcher(options, engine, told_to_stop).run()


if __name__ == "__main__":
    os._exit(main())  # without waiting for a thread that a stray process keeps at the pipe
