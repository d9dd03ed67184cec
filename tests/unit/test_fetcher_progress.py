"""What the pod that fetches tells those who wait, and that nobody can tell them anything else."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard.fetcher.report import progress
from modelyard.fetcher.report.progress import FILE_NAME, Progress, latest
from modelyard.fetcher.report.state import State
from tests.support.eventually import eventually

POD = "0a-1b"
TOLD = {"pod": POD, "bytes_done": 5, "bytes_total": 10, "bytes_per_second": 1}


@pytest.fixture
def state() -> State:
    state = State("s3://models/a", None, lambda: datetime.now(UTC))
    state.found("sha256:", 10, unverified_files=0)
    state.begin(5)
    return state


def put(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).write_text(text)


def test_the_progress_is_told_at_once_and_again_and_again(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 0.01)
    with progress.published(tmp_path, POD, state):
        eventually(lambda: latest([tmp_path]) == Progress(POD, 5, 10, 0))
        state.add_bytes(3)
        eventually(lambda: latest([tmp_path]) == Progress(POD, 8, 10, 0))
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_folder_that_is_gone_disturbs_nobody(tmp_path: Path, state: State) -> None:
    with progress.published(tmp_path / "absent", POD, state):
        pass
    assert latest([tmp_path / "absent"]) is None


def test_of_two_users_folders_the_one_that_was_told_in_last_counts(tmp_path: Path) -> None:
    old, new = tmp_path / "staged", tmp_path / "staged.4711"
    put(old, json.dumps(TOLD))
    put(new, json.dumps(TOLD | {"pod": "2c-3d"}))
    os.utime(old / FILE_NAME, ns=(1, 1))
    told = latest([old, new])
    assert told
    assert told.pod == "2c-3d"


def test_what_a_pod_left_that_is_gone_is_not_told(tmp_path: Path) -> None:
    put(tmp_path, json.dumps(TOLD))
    os.utime(tmp_path / FILE_NAME, ns=(1, 1))
    assert latest([tmp_path]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        "[" * 4000,
        json.dumps(TOLD | {"pod": 7}),
        json.dumps(TOLD | {"pod": "x" * 64}),
        json.dumps(TOLD | {"pod": "\x1b[31m"}),
        json.dumps(TOLD | {"bytes_done": -1}),
        json.dumps(TOLD | {"bytes_total": 1.5}),
        json.dumps(TOLD | {"bytes_per_second": True}),
        json.dumps(TOLD | {"more": "x" * 5000}),
    ],
)
def test_what_is_odd_is_not_told(tmp_path: Path, text: str) -> None:
    put(tmp_path, text)
    assert latest([tmp_path]) is None


def test_a_link_or_a_pipe_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(json.dumps(TOLD))
    (tmp_path / FILE_NAME).symlink_to("elsewhere")
    assert latest([tmp_path]) is None
    (tmp_path / FILE_NAME).unlink()
    os.mkfifo(tmp_path / FILE_NAME)
    assert latest([tmp_path]) is None
