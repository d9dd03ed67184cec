"""The launcher in front of an engine with the real ones' manners, as processes."""

import ast
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from modelyard.launcher import compile_cache, launcher
from tests.support.background_process import BackgroundProcess
from tests.support.eventually import eventually
from tests.support.peak_memory import peak_memory_bytes
from tests.support.ports import free_port

FAKE_ENGINE = Path(__file__).with_name("fake_engine.py")
LAUNCHER = Path(launcher.__file__)

Start = Callable[..., BackgroundProcess]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def termination_log(tmp_path: Path) -> Path:
    return tmp_path / "termination-log"


@pytest.fixture
def start(port: int, termination_log: Path) -> Iterator[Start]:
    """Starts the launcher with a command, or with the fake engine in a manner; ends it with the test."""
    with ExitStack() as ends:

        def start(
            *command: str,
            pause_s: float = 0,
            drain_s: float = 60,
            before: tuple[str, ...] = (),
            entrypoint: Path | None = None,
            more: tuple[str, ...] = (),
        ) -> BackgroundProcess:
            if len(command) == 1:
                command = (sys.executable, str(FAKE_ENGINE), command[0], str(port))
            options = [
                f"--ready-url=http://localhost:{port}/health",
                f"--pause-s={pause_s}",
                f"--drain-s={drain_s}",
                f"--termination-log={termination_log}",
                *([f"--entrypoint={entrypoint}"] if entrypoint else []),
                *more,
            ]
            return ends.enter_context(BackgroundProcess([*before, sys.executable, LAUNCHER, *options, "--", *command]))

        yield start


def command_lines_with(words: str) -> list[str]:
    """The command lines that contain the words."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [line for line in lines if words in line and "launcher.py" not in line]


@pytest.mark.parametrize("program", [launcher, compile_cache])
def test_each_is_one_file_for_any_python_from_3_8_on_with_the_standard_library_alone(program: ModuleType) -> None:
    tree = ast.parse(Path(str(program.__file__)).read_text(), feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    modules = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "." for node in imports if isinstance(node, ast.ImportFrom)}
    assert {module.split(".")[0] for module in modules} <= sys.stdlib_module_names


def test_an_engine_that_loads_and_ignores_sigterm_is_ended_at_once(start: Start) -> None:
    running = start("loading", pause_s=1000, drain_s=1000)
    running.logs("engine: loading")
    running.signal(signal.SIGTERM)
    assert running.ends() == 128 + signal.SIGKILL
    assert "before the model was ready" in running.output


def test_a_ready_engine_drains_and_its_exit_code_is_the_launchers(start: Start, termination_log: Path) -> None:
    running = start("draining")
    running.logs("the engine is ready")
    running.signal(signal.SIGTERM)
    assert running.ends() == 0
    assert "engine: drained" in running.output
    assert not termination_log.exists()


def test_a_ready_engine_serves_on_during_the_propagation_pause(start: Start, port: int) -> None:
    running = start("draining", pause_s=1000)
    running.logs("the engine is ready")
    running.signal(signal.SIGTERM)
    running.logs("serving for another 1000 s")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
        assert answer.status == 200
    assert "engine: drained" not in running.output


def test_an_engine_that_was_ready_once_is_drained_even_if_too_busy_to_answer(start: Start, port: int) -> None:
    running = start("forgetful")
    running.logs("the engine is ready")
    with pytest.raises(urllib.error.HTTPError, match="503") as refusal:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
    refusal.value.close()
    running.signal(signal.SIGTERM)
    assert running.ends() == 0
    assert "engine: drained" in running.output


def test_clients_see_a_closed_connection_when_the_drains_time_is_up(start: Start, port: int) -> None:
    running = start("hanging", drain_s=0.5)
    running.logs("the engine is ready")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        received = b""
        while not received.endswith(b"first token"):
            received += client.recv(4096)
        running.signal(signal.SIGTERM)
        assert client.recv(4096) == b""
    assert running.ends() == 128 + signal.SIGKILL


def test_an_engine_that_fails_leaves_its_first_real_error_and_no_worker(start: Start, termination_log: Path) -> None:
    running = start("worker")
    assert running.ends() == 1
    assert termination_log.read_text() == "safetensors.SafetensorError: file not fully covered"
    assert eventually(lambda: command_lines_with("sleep 98765"), lambda lines: not lines) == []


def test_an_engine_that_ends_without_an_error_line_is_reported_with_its_last_lines(
    start: Start, termination_log: Path
) -> None:
    running = start("sh", "-c", "echo one; echo two; exit 7")
    assert running.ends() == 7
    assert termination_log.read_text() == "`sh` exited with code 7; its last output:\none\ntwo"


def test_an_engine_that_the_kernel_kills_is_reported_as_short_of_memory(start: Start, termination_log: Path) -> None:
    running = start("sh", "-c", "kill -9 $$")
    assert running.ends() == 128 + signal.SIGKILL
    assert "raise memory in spec.resources" in termination_log.read_text()


def test_a_command_that_the_image_lacks_is_reported_by_name(start: Start, termination_log: Path) -> None:
    running = start("no-such-engine", "serve")
    assert running.ends() == 127
    assert termination_log.read_text().startswith("this image has no `no-such-engine` on its PATH (")


def test_a_command_that_may_not_run_is_reported_by_name(start: Start, termination_log: Path, tmp_path: Path) -> None:
    script = tmp_path / "engine"
    script.touch(mode=0o644)
    running = start(str(script), "serve")
    assert running.ends() == 126
    assert termination_log.read_text() == f"`{script}` cannot be started: Permission denied"


def test_other_signals_reach_the_engine(start: Start) -> None:
    running = start("sh", "-c", "trap 'echo got it; exit 3' USR1; echo listening; while :; do sleep 0.05; done")
    running.logs("listening")
    running.signal(signal.SIGUSR1)
    assert running.ends() == 3
    assert "got it" in running.output


def test_the_engines_standard_error_is_passed_on_byte_for_byte(start: Start) -> None:
    running = start("sh", "-c", r"printf 'a\377b' >&2; printf 'no line end'")
    assert running.ends() == 0
    assert running.output == "a\N{REPLACEMENT CHARACTER}bno line end"


def test_memory_does_not_grow_with_a_line_that_never_ends(port: int, termination_log: Path) -> None:
    options = ["--ready-url=http://127.0.0.1:9", "--pause-s=0", "--drain-s=0", f"--termination-log={termination_log}"]
    flood = [sys.executable, str(FAKE_ENGINE), "flood", str(port)]
    assert peak_memory_bytes([sys.executable, LAUNCHER, *options, "--", *flood]) < 64 * 1024 * 1024


def as_pid_1(running: BackgroundProcess) -> int:
    """The process that is PID 1 inside, as seen from outside."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    seen = eventually(lambda: (children.read_text() if children.exists() else "", running.output), any)
    assert seen[0], f"unshare could not make a PID namespace, which this test needs root for: {seen[1]}"
    return int(seen[0])


UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")


def test_as_pid_1_it_stops_a_loading_engine(start: Start) -> None:
    running = start("loading", before=UNSHARE)
    pid_1 = as_pid_1(running)
    running.logs("engine: loading")
    os.kill(pid_1, signal.SIGTERM)
    assert running.ends() == 128 + signal.SIGKILL


def test_as_pid_1_it_reaps_orphans(start: Start) -> None:
    running = start("orphans", before=UNSHARE)
    running.logs("engine: all orphans are gone")
    assert running.ends() == 0


def test_an_images_own_entrypoint_runs_the_command_where_the_image_has_one(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "entrypoint.sh"
    script.write_text('#!/bin/sh\necho "through it: $*"\nexec "$@"\n')
    script.chmod(0o755)
    running = start("sh", "-c", "exit 3", entrypoint=script)
    assert running.ends() == 3
    assert "through it: sh -c exit 3" in running.output


def test_in_an_image_without_the_entrypoint_the_command_runs_as_it_is(start: Start, tmp_path: Path) -> None:
    running = start("sh", "-c", "echo as it is; exit 3", entrypoint=tmp_path / "not-there.sh")
    assert running.ends() == 3
    assert "as it is" in running.output


@pytest.mark.parametrize(
    ("pod_ips", "on_its_own", "dual_stack"),
    [
        ("10.0.0.1", False, False),
        ("fd00::1", True, True),
        ("fd00::1,10.0.0.1", True, True),
        ("10.0.0.1,fd00::1", False, True),  # Services and probes reach it by IPv4, so that must not go
        ("", False, False),
    ],
)
def test_an_engine_gets_the_flag_to_listen_on_ipv6_where_the_pod_is_reached_by_it(
    pod_ips: str, on_its_own: bool, dual_stack: bool
) -> None:
    least = ["--ready-url=http://localhost:9", "--pause-s=0", "--drain-s=0", "--ipv6-argument=--host=::"]
    for options, expected in ((least, on_its_own), ([*least, "--dual-stack"], dual_stack)):
        found = launcher.ipv6_arguments(launcher.parse([*options, "--", "serve"]), pod_ips)
        assert found == (["--host=::"] if expected else [])


def test_the_arguments_for_ipv6_stand_behind_the_engines_own(termination_log: Path) -> None:
    options = ["--ready-url=http://localhost:9", "--pause-s=0", "--drain-s=0", f"--termination-log={termination_log}"]
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "--host=0.0.0.0"]
    with BackgroundProcess(
        [sys.executable, LAUNCHER, *options, "--ipv6-argument=--host=::", "--", *command],
        os.environ | {"MODELYARD_POD_IPS": "fd00::1"},
    ) as running:
        running.logs("['--host=0.0.0.0', '--host=::']")


@pytest.mark.parametrize("address", ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])])
def test_an_engine_is_seen_ready_on_whichever_family_it_listens(start: Start, port: int, address: str) -> None:
    running = start(*serving_health_on(address, port))
    running.logs("the engine is ready")


def serving_health_on(address: str, port: int) -> tuple[str, ...]:
    program = (
        "import http.server, socket, sys\n"
        "class Health(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "class Server(http.server.HTTPServer):\n"
        "    address_family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET\n"
        "Server((sys.argv[1], int(sys.argv[2])), Health).serve_forever()\n"
    )
    return (sys.executable, "-c", program, address, str(port))


DOUBTFUL = ("--package=vllm", "--since=0.18.0:--shutdown-timeout=60", "--since=0.8.2:--disable-uvicorn-access-log")
SERVE = ("vllm", "serve", "/model", "--port=8000", "--shutdown-timeout=60", "--disable-uvicorn-access-log", "--seed=1")
ECHO = "import sys; print('engine got:', *sys.argv[1:]); sys.exit(3)"


def python_of_the_image(folder: Path, version: str | None) -> str:
    """A Python other than the launcher's, which alone has the package in that version; the path of its program."""
    packages = folder / "packages"
    if version:
        (packages / f"vllm-{version}.dist-info").mkdir(parents=True)
        (packages / f"vllm-{version}.dist-info" / "METADATA").write_text(f"Name: vllm\nVersion: {version}\n")
    python = folder / "python3.12"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return str(python)


def console_script(folder: Path, head: str) -> tuple[str, ...]:
    """A program `vllm` that begins so and prints its arguments; what to start the launcher with so that it is found."""
    script = folder / "vllm"
    script.write_text(f"{head}\n{ECHO}\n")
    script.chmod(0o755)
    return ("env", f"PATH={folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("version", "left_out"),
    [
        ("0.6.3.post1", {"--shutdown-timeout=60", "--disable-uvicorn-access-log"}),
        ("0.8.1", {"--shutdown-timeout=60", "--disable-uvicorn-access-log"}),
        ("0.8.2", {"--shutdown-timeout=60"}),
        ("0.9.2.dev364+gb432b7a28.rocm641", {"--shutdown-timeout=60"}),
        ("0.18.0rc1", set()),
        ("0.32.0+cu129", set()),
        ("1.0", set()),
        ("0.1.dev1+g33dc40f0a", set()),
        ("nightly", set()),
        (None, set()),
    ],
)
def test_flags_that_the_installed_package_is_too_old_for_are_left_out(
    start: Start, tmp_path: Path, version: str | None, left_out: set[str]
) -> None:
    before = console_script(tmp_path, f"#!{python_of_the_image(tmp_path, version)}")
    running = start(*SERVE, before=before, more=DOUBTFUL)
    assert running.ends() == 3
    kept = [argument for argument in SERVE[1:] if argument not in left_out]
    assert f"engine got: {' '.join(kept)}\n" in running.output


@pytest.mark.parametrize(
    "head",
    ["#!{python}", "#!/usr/bin/env python3.12", "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''"],
    ids=["path", "env", "long path"],
)
def test_the_package_is_looked_up_by_the_python_that_runs_the_engine(start: Start, tmp_path: Path, head: str) -> None:
    before = console_script(tmp_path, head.format(python=python_of_the_image(tmp_path, "0.6.3")))
    running = start(*SERVE, before=before, more=DOUBTFUL)
    running.ends()
    assert "vllm 0.6.3 is installed; flags that it does not know: --shutdown-timeout=60 --disable" in running.output


def test_a_version_that_cannot_be_looked_up_leaves_every_flag(start: Start, tmp_path: Path) -> None:
    running = start(*SERVE, before=console_script(tmp_path, f"#!{sys.executable}"), more=DOUBTFUL)
    running.ends()
    assert "the version of vllm is not known (not found): every flag is given to it" in running.output
    assert f"engine got: {' '.join(SERVE[1:])}\n" in running.output


def test_a_lookup_that_hangs_ends_when_the_pod_must_stop(start: Start, tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho looking up >&2; exec sleep 98765\n")
    python.chmod(0o755)
    running = start(*SERVE, before=console_script(tmp_path, f"#!{python}"), more=DOUBTFUL)
    eventually(lambda: command_lines_with("sleep 98765"))
    running.signal(signal.SIGTERM)
    running.logs("every flag is given to it")
    running.ends()
