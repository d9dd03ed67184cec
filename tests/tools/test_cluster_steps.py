"""The framework that set-up is made of: keys, order, results that are kept, runs that meet or are killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest

from e2e.cluster.commands import Commands
from e2e.cluster.progress import Progress
from e2e.cluster.run import Durations, Run, StepFailedError, plan
from e2e.cluster.steps import MARKER, CannotMakeError, Making, Step, Store, in_order, key_of

REPOSITORY = Path(__file__).parents[2]


def nothing(_: Making) -> None:
    """Makes an empty folder."""


def step(name: str, make: Callable[[Making], None] = nothing, **rest: object) -> Step:
    return Step(name, f"the {name}", 60, make, **rest)  # type: ignore[arg-type]  # rest are Step's own fields


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def make(store: Store, *steps: Step) -> dict[str, bool]:
    """Make the steps; whether each was made now."""
    names = [one.name for one in steps]
    progress = Progress(dict.fromkeys(names, 60), lambda: 0, StringIO())
    return {row.name: row.made for row in Run(plan(steps, names, store), store, progress).make_all(tick_s=0.01)}


def test_a_key_changes_with_the_content_of_an_input_and_with_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep/file").write_text("one")
    made_from = step("a", inputs=(source, "v1"))
    key = key_of(made_from, {})

    (source / "__pycache__").mkdir()
    (source / "__pycache__/file.pyc").write_text("compiled")
    os.utime(source / "deep/file", (0, 0))
    assert key_of(made_from, {}) == key

    (source / "deep/file").write_text("two")
    assert key_of(made_from, {}) != key
    (source / "deep/file").write_text("one")
    assert key_of(made_from, {}) == key
    (source / "deep/file").chmod(0o755)
    assert key_of(made_from, {}) != key


def test_a_key_changes_with_a_text_a_name_and_the_key_of_a_need() -> None:
    keys = {
        key_of(step("a", inputs=("v1",)), {}),
        key_of(step("a", inputs=("v2",)), {}),
        key_of(step("b", inputs=("v1",)), {}),
        key_of(step("a", inputs=("v1",), needs=("n",)), {"n": "1"}),
        key_of(step("a", inputs=("v1",), needs=("n",)), {"n": "2"}),
        key_of(step("a", inputs=("v", "1")), {}),
    }
    assert len(keys) == 6


def test_steps_come_after_what_they_need_and_others_stay_out() -> None:
    steps = [step("c", needs=("b",)), step("b", needs=("a",)), step("a"), step("other")]
    assert [one.name for one in in_order(steps, ["c"])] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([step("a", needs=("b",)), step("b", needs=("a",))], "a -> b -> a"),
        ([step("a", needs=("lost",))], "no step is called 'lost'"),
    ],
)
def test_a_cycle_or_an_unknown_need_is_reported_by_name(steps: list[Step], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        in_order(steps, ["a"])


def test_a_result_is_made_once_and_made_anew_when_its_input_changes(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")

    def copy(making: Making) -> None:
        (making.folder / "copy").write_text(source.read_text())

    copied = step("copy", copy, inputs=(source,))

    assert make(store, copied) == {"copy": True}
    assert make(store, copied) == {"copy": False}
    source.write_text("two")
    assert make(store, copied) == {"copy": True}


def test_a_step_sees_the_results_of_what_it_needs(store: Store) -> None:
    def write(making: Making) -> None:
        (making.folder / "file").write_text("from first")

    first = step("first", write)
    seen = []
    second = step(
        "second", lambda making: seen.append((making.results["first"].folder / "file").read_text()), needs=("first",)
    )
    make(store, second, first)
    assert seen == ["from first"]


def test_a_thing_outside_the_cache_is_made_again_when_it_is_gone(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    image = step("image", lambda _: outside.touch(), is_made=lambda _: outside.exists())

    assert make(store, image) == {"image": True}
    assert make(store, image) == {"image": False}
    outside.unlink()
    assert make(store, image) == {"image": True}


def test_a_folder_that_a_killed_run_left_half_made_is_started_afresh(store: Store) -> None:
    def complete(making: Making) -> None:
        assert list(making.folder.iterdir()) == []
        (making.folder / "whole").touch()

    whole = step("thing", complete)
    folder = plan([whole], ["thing"], store)["thing"][1].folder
    folder.mkdir(parents=True)
    (folder / "half").touch()

    assert make(store, whole) == {"thing": True}
    assert sorted(path.name for path in folder.iterdir()) == [MARKER, "whole"]


HOLDER = """
import sys
from pathlib import Path
from e2e.cluster.run import plan
from e2e.cluster.steps import Step, Store

def make(making):
    print("holds", flush=True)
    sys.stdin.read()
    (making.folder / "by-the-other").touch()

store = Store(Path(sys.argv[1]))
step = Step("thing", "a thing", 60, make)
making = plan([step], ["thing"], store)["thing"][1]
store.ensure(step, making, lambda: None, lambda: None)
"""


@pytest.fixture
def other_run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is making the step `thing`, and ends when its input is closed."""
    command: list[str | Path] = [sys.executable, "-c", HOLDER, tmp_path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, text=True, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "holds\n"
        yield other


def meet(store: Store, thing: Step, when_waiting: Callable[[], None]) -> bool:
    making = plan([thing], ["thing"], store)["thing"][1]
    return store.ensure(thing, making, on_start=lambda: None, on_wait=when_waiting)


def test_of_two_runs_that_meet_one_makes_and_the_other_finds(store: Store, other_run: subprocess.Popen[str]) -> None:
    def must_not_run(_: Making) -> None:
        pytest.fail("made twice")

    thing = step("thing", must_not_run)
    assert other_run.stdin is not None
    made = meet(store, thing, other_run.stdin.close)

    assert made is False
    assert (plan([thing], ["thing"], store)["thing"][1].folder / "by-the-other").exists()


def test_a_run_that_is_killed_lets_go_and_the_next_one_makes(store: Store, other_run: subprocess.Popen[str]) -> None:
    made = meet(store, step("thing"), other_run.kill)

    assert made is True
    assert other_run.wait() == -signal.SIGKILL


def test_a_failure_reports_its_cause_and_ends_what_runs_beside_it(store: Store, tmp_path: Path) -> None:
    running = tmp_path / "running"

    def run_long(making: Making) -> None:
        making.commands.run("sh", "-c", f"touch {running}; exec sleep 1000")

    def fail(making: Making) -> None:
        while not running.exists():
            making.commands.pause(0.01)
        raise CannotMakeError("no engine: start Docker")

    out = StringIO()
    steps = [step("long", run_long), step("broken", fail), step("after", needs=("broken",))]
    progress = Progress({one.name: 60 for one in steps}, lambda: 0, out)
    run = Run(plan(steps, ["long", "after"], store), store, progress)
    with pytest.raises(StepFailedError, match="broken"):
        run.make_all(tick_s=0.01)

    assert "! broken: no engine: start Docker" in out.getvalue()
    assert not run.took


def test_a_failed_command_is_reported_with_its_last_lines_and_the_log(store: Store) -> None:
    out = StringIO()
    broken = step("broken", lambda making: making.commands.run("sh", "-c", "echo the disk is full >&2; exit 3"))
    run = Run(plan([broken], ["broken"], store), store, Progress({"broken": 60}, lambda: 0, out))
    with pytest.raises(StepFailedError):
        run.make_all(tick_s=0.01)

    assert "ended with status 3" in out.getvalue()
    assert "the disk is full" in out.getvalue()
    assert str(store.log(broken)) in out.getvalue()


def test_a_pipe_fails_when_either_end_fails(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "log", os.environ)
    commands.pipe(("echo", "through"), ("sh", "-c", f"cat > {tmp_path}/out"))
    assert (tmp_path / "out").read_text() == "through\n"
    for source, sink in ((("false",), ("cat",)), (("echo",), ("false",))):
        with pytest.raises(Exception, match="`false` ended with status 1"):
            commands.pipe(source, sink)


def test_durations_measured_here_replace_the_stated_ones(tmp_path: Path) -> None:
    durations = Durations(tmp_path / "cache/durations.json")
    assert durations.usually_s([step("a"), step("b")]) == {"a": 60, "b": 60}
    durations.measured({"a": 12.34})
    assert durations.usually_s([step("a"), step("b")]) == {"a": 12.3, "b": 60}
