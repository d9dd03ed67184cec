"""What the fetching pod reports to those that wait, and that no other can report anything in its place."""

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
RECORD = {"pod": POD, "bytes_done": 5, "bytes_total": 10, "bytes_per_second": 1}


@pytest.fixture
def state() -> State:
    state = State("s3://models/a", None, lambda: datetime.now(UTC))
    state.found("sha256:", 10, unverified_files=0)
    state.begin(5)
    return state


def put(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).write_text(text)


def test_the_progress_is_written_at_once_and_then_repeatedly(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 0.01)
    with progress.published(tmp_path, POD, state):
        eventually(lambda: latest([tmp_path]) == Progress(POD, 5, 10, 0))
        state.add_bytes(3)
        eventually(lambda: latest([tmp_path]) == Progress(POD, 8, 10, 0))
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_folder_that_is_gone_causes_no_error(tmp_path: Path, state: State) -> None:
    with progress.published(tmp_path / "absent", POD, state):
        pass
    assert latest([tmp_path / "absent"]) is None


def test_of_two_users_folders_the_one_that_was_written_last_counts(tmp_path: Path) -> None:
    old, new = tmp_path / "staged", tmp_path / "staged.4711"
    put(old, json.dumps(RECORD))
    put(new, json.dumps(RECORD | {"pod": "2c-3d"}))
    os.utime(old / FILE_NAME, ns=(1, 1))
    found = latest([old, new])
    assert found
    assert found.pod == "2c-3d"


def test_what_a_deleted_pod_left_is_not_reported(tmp_path: Path) -> None:
    put(tmp_path, json.dumps(RECORD))
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
        json.dumps(RECORD | {"pod": 7}),
        json.dumps(RECORD | {"pod": "x" * 64}),
        json.dumps(RECORD | {"pod": "\x1b[31m"}),
        json.dumps(RECORD | {"bytes_done": -1}),
        json.dumps(RECORD | {"bytes_total": 1.5}),
        json.dumps(RECORD | {"bytes_per_second": True}),
        json.dumps(RECORD | {"more": "x" * 5000}),
    ],
)
def test_a_malformed_progress_is_not_reported(tmp_path: Path, text: str) -> None:
    put(tmp_path, text)
    assert latest([tmp_path]) is None


def test_a_link_or_a_pipe_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(json.dumps(RECORD))
    (tmp_path / FILE_NAME).symlink_to("elsewhere")
    assert latest([tmp_path]) is None
    (tmp_path / FILE_NAME).unlink()
    os.mkfifo(tmp_path / FILE_NAME)
    assert latest([tmp_path]) is None
