"""What a person reads while set-up runs."""

from io import StringIO
from pathlib import Path

import pytest

from e2e.cluster.progress import Progress, Took, minutes, table
from e2e.cluster.steps import Step

KUBERNETES = Step("kubernetes", "Kubernetes from Go modules", 570, lambda _: None)
PYTHON = Step("python", "Python packages", 60, lambda _: None)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (570, "9:30"), (3723, "1:02:03")])
def test_durations_read_as_minutes_and_seconds(seconds: float, text: str) -> None:
    assert minutes(seconds) == text


def test_a_person_sees_what_runs_for_how_long_and_how_long_it_usually_takes() -> None:
    clock, out = Clock(), StringIO()
    progress = Progress({"kubernetes": 570, "python": 60}, clock, out)
    progress.start(KUBERNETES)
    clock.now_s = 10
    progress.start(PYTHON)
    clock.now_s = 39
    progress.tick()
    clock.now_s = 41
    progress.tick()
    clock.now_s = 70
    progress.end(PYTHON)
    clock.now_s = 100
    progress.tick()

    assert out.getvalue().splitlines() == [
        "> kubernetes: Kubernetes from Go modules (usually 9:30)",
        "> python: Python packages (usually 1:00)",
        "  ... kubernetes 0:41 of about 9:30, python 0:31 of about 1:00",
        "+ python: done in 1:00",
        "  ... kubernetes 1:40 of about 9:30",
    ]


def test_nothing_is_printed_of_what_was_already_made() -> None:
    out = StringIO()
    progress = Progress({"python": 60}, Clock(), out)
    progress.end(PYTHON)
    progress.tick()
    assert out.getvalue() == ""


def test_a_mistake_of_our_own_is_shown_with_its_kind(tmp_path: Path) -> None:
    out = StringIO()
    Progress({"python": 60}, Clock(), out).fail(PYTHON, tmp_path / "none.log", KeyError("podCIDR"))
    assert out.getvalue() == "! python: KeyError('podCIDR')\n"


def test_the_table_distinguishes_what_was_made_from_what_was_there() -> None:
    rows = [Took("kubernetes", "Kubernetes", 570, made=True), Took("python", "packages", 0.2, made=False)]
    assert table(rows, 575) == (
        "  kubernetes     9:30  Kubernetes\n"
        "  python         0:00  was there: packages\n"
        "  in all         9:35"
    )  # fmt: skip
