"""What engines compile, kept on the node from pod to pod: by the launcher in front of an engine, as processes."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from modelyard.launcher import compile_cache, launcher
from tests.launcher.fake_engine import SIZE
from tests.support.background_process import BackgroundProcess
from tests.support.eventually import eventually
from tests.support.ports import free_port

FAKE_ENGINE = Path(__file__).with_name("fake_engine.py")
FOUND_NOTHING = "found [], broken []"


class Node:
    """A node with a cache, on which pods start one after the other or at once."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.cache.mkdir()
        self._ends = ends

    def start(
        self,
        pod: str,
        *compiles: str,
        manner: str = "compiling",
        before: tuple[str, ...] = (),
        program: Path = Path(launcher.__file__),
        cache: Path | None = None,
    ) -> BackgroundProcess:
        """The launcher in a pod, whose engine compiles these files."""
        port, engine_cache = free_port(), self.engine_cache(pod)
        options = [
            f"--ready-url=http://127.0.0.1:{port}/health",
            *("--pause-s=0", "--drain-s=60", f"--termination-log={self.folder / f'{pod}.log'}"),
            *(f"--compile-cache={cache or self.cache}", f"--engine-cache={engine_cache}"),
        ]
        engine = [sys.executable, str(FAKE_ENGINE), manner, str(port)]
        variables = {"POD_UID": pod, "VLLM_CACHE_ROOT": str(engine_cache), "COMPILES": ",".join(compiles)}
        command = [*before, sys.executable, str(program), *options, "--", *engine]
        return self._ends.enter_context(BackgroundProcess(command, os.environ | variables))

    def serve(self, pod: str, *compiles: str, manner: str = "compiling") -> str:
        """A pod's whole life; returns its output."""
        running = self.start(pod, *compiles, manner=manner)
        running.logs("the engine is ready")
        self.has_published(pod)
        running.signal(signal.SIGTERM)
        assert running.ends() == 0
        return running.output

    def publish(self, pod: str) -> BackgroundProcess:
        """The program alone, as the launcher starts it once the engine is ready."""
        places = [f"--cache={self.cache}", f"--engine-cache={self.engine_cache(pod)}", f"--pod-uid={pod}"]
        command = [sys.executable, compile_cache.__file__, "publish", *places]
        return self._ends.enter_context(BackgroundProcess(command))

    def has_published(self, pod: str) -> None:
        eventually(lambda: not (self.cache / "pods" / pod).exists())

    def engine_cache(self, pod: str) -> Path:
        """In a volume of the pod's own."""
        return self.folder / pod / ".cache" / "vllm"

    def compiled(self, pod: str, *file_names: str) -> None:
        """What an engine left, without one."""
        folder = self.engine_cache(pod) / "torch_compile_cache"
        folder.mkdir(parents=True)
        for name in file_names:
            (folder / name).write_text(name * SIZE)

    @property
    def snapshots(self) -> list[dict[str, bool]]:
        """Of each whole one, oldest first: whether its files have their bytes, by name."""
        folders = sorted((self.cache / "snapshots").glob("[!.]*"))
        return [
            {path.name: path.read_text() == path.name * SIZE for path in folder.rglob("*") if path.is_file()}
            for folder in folders
        ]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with ExitStack() as ends:
        yield Node(tmp_path, ends)


def test_what_one_pod_compiled_the_next_one_finds_before_its_engine_starts(node: Node) -> None:
    assert FOUND_NOTHING in node.serve("one", "a", "b")
    assert "found ['a', 'b'], broken []" in node.serve("two", "a", "b")


def test_pods_that_compile_nothing_new_keep_nothing_new(node: Node) -> None:
    for pod in ("one", "two", "three"):
        node.serve(pod, "a", "b")
    assert node.snapshots == [{"a": True, "b": True}]


def test_what_was_added_is_kept_with_what_there_was_and_two_snapshots_at_most(node: Node) -> None:
    for pod, compiled in (("one", "a"), ("two", "b"), ("three", "c")):
        node.serve(pod, compiled)
    assert node.snapshots == [{"a": True, "b": True}, {"a": True, "b": True, "c": True}]
    assert list((node.cache / "snapshots").glob(".*")) == []


def test_a_container_that_starts_again_in_its_pod_goes_on_with_its_own(node: Node) -> None:
    node.serve("one", "a")
    node.serve("other", "b")
    shutil.rmtree(node.cache / "snapshots")
    assert "found ['a'], broken []" in node.serve("one", "a")


def test_a_pod_is_a_user_of_the_cache_until_its_own_is_kept(node: Node) -> None:
    node.serve("one", "a")
    running = node.start("two", "a", manner="loading")
    running.logs("engine: loading")
    assert (node.cache / "pods" / "two").is_dir()


def test_many_pods_at_once_never_share_a_file_and_leave_whole_snapshots(node: Node) -> None:
    pods = [node.start(f"pod-{number}", "a", "b", f"own-{number}") for number in range(5)]
    for running in pods:
        running.logs("the engine is ready")
        assert FOUND_NOTHING in running.output
    for number in range(5):
        node.has_published(f"pod-{number}")
    snapshots = node.snapshots
    assert 1 <= len(snapshots) <= compile_cache.KEPT
    assert all({"a", "b"} <= snapshot.keys() and all(snapshot.values()) for snapshot in snapshots)
    assert "broken []" in node.serve("late", "a")


def test_a_snapshot_that_was_cut_off_is_never_used_and_does_not_stand_in_the_way(node: Node) -> None:
    names = [f"file-{number:05}" for number in range(2000)]
    node.compiled("one", *names)
    publishing = node.publish("one")
    eventually(lambda: list((node.cache / "snapshots").glob(".one/*/*")), every_s=0.001)
    publishing.kill()
    assert node.snapshots == []
    assert FOUND_NOTHING in node.serve("two", "a")
    assert node.publish("one").ends(within_s=120) == 0
    assert node.snapshots[-1] == dict.fromkeys(names, True)


@pytest.mark.parametrize("copied", [0, 1, 100, 200, 300])
def test_whenever_it_is_killed_there_is_no_half_snapshot(node: Node, copied: int) -> None:
    names = [f"file-{number:03}" for number in range(300)]
    node.compiled("one", *names)
    publishing = node.publish("one")
    everywhere = "snapshots/*/*/file-*"  # the copies before and after they are whole
    eventually(lambda: len([*node.cache.glob(everywhere)]), lambda seen: seen >= copied, every_s=0.001)
    publishing.kill()
    assert node.snapshots in ([], [dict.fromkeys(names, True)])


def test_an_engine_that_does_not_become_ready_with_what_was_restored_starts_without(node: Node) -> None:
    node.serve("one", "a")
    first = node.start("two", "a", manner="brittle")
    assert first.ends() == 1
    again = node.serve("two", "a", manner="brittle")
    assert "it starts without" in again
    assert FOUND_NOTHING in again
    assert len(node.snapshots) == 2, "what it compiled then takes the place of what it failed with"


def test_a_cache_that_is_not_there_keeps_no_engine_from_serving(node: Node) -> None:
    running = node.start("one", "a", cache=node.folder / "absent")
    running.logs("the engine is ready")
    running.logs("publish failed, the engine does without")
    assert "restore failed, the engine does without" in running.output


def test_a_disk_without_space_keeps_no_engine_from_serving(node: Node) -> None:
    on_a_small_disk = f'mount -t tmpfs -o size=32k none {node.cache} && exec "$0" "$@"'
    running = node.start("one", "a", "b", "c", before=("unshare", "--mount", "sh", "-c", on_a_small_disk))
    running.logs("the engine is ready")
    running.logs("are too much to keep")


def test_a_disk_that_becomes_full_in_the_midst_leaves_nothing_behind(node: Node) -> None:
    node.compiled("one", "a" * 100)
    command = ["prlimit", "--fsize=100000", sys.executable, compile_cache.__file__, "publish"]
    places = [f"--cache={node.cache}", f"--engine-cache={node.engine_cache('one')}", "--pod-uid=one"]
    with BackgroundProcess([*command, *places]) as publishing:
        assert publishing.ends() == 1
    assert "publish failed, the engine does without" in publishing.output
    assert list((node.cache / "snapshots").iterdir()) == []


def test_more_than_is_ever_kept_is_neither_kept_nor_restored(node: Node) -> None:
    for path in (node.engine_cache("one") / "large", node.cache / "snapshots" / "9-theirs" / "huge"):
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            file.truncate(compile_cache.LIMIT_BYTES + 1)
    publishing = node.publish("one")
    assert publishing.ends() == 0
    assert "are too much to keep" in publishing.output
    output = node.serve("two", "a")
    assert "it is not restored" in output
    assert FOUND_NOTHING in output


def test_what_is_no_regular_file_is_left_out(node: Node) -> None:
    node.compiled("one", "a")
    (node.engine_cache("one") / "link").symlink_to("/etc/passwd")
    os.mkfifo(node.engine_cache("one") / "pipe")
    assert node.publish("one").ends() == 0
    assert node.snapshots == [{"a": True}]


Program = Callable[[str], Path]


@pytest.fixture
def with_cache_program(tmp_path: Path) -> Program:
    """The launcher beside another compile_cache.py."""

    def made(text: str) -> Path:
        (tmp_path / "compile_cache.py").write_text(text)
        return Path(shutil.copy(launcher.__file__, tmp_path / "launcher.py"))

    return made


def test_a_restore_that_hangs_delays_no_pod_that_must_stop(node: Node, with_cache_program: Program) -> None:
    hangs = with_cache_program("print('hanging', flush=True)\nimport threading\nthreading.Event().wait()")
    running = node.start("one", "a", program=hangs, manner="loading")
    running.logs("hanging")
    running.signal(signal.SIGTERM)
    assert running.ends() in {128 + signal.SIGTERM, 128 + signal.SIGKILL}
    assert "before the model was ready" in running.output


def test_a_cache_program_that_fails_or_is_missing_keeps_no_engine_from_serving(
    node: Node, with_cache_program: Program
) -> None:
    program = with_cache_program("raise SystemError")
    node.start("one", "a", program=program).logs("the engine is ready")
    (program.parent / "compile_cache.py").unlink()
    node.start("two", "a", program=program).logs("the engine is ready")
