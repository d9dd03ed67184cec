"""What is on the disk of a model that arrives, as a later fetch finds it."""

from pathlib import Path, PurePosixPath

import pytest

from modelyard.fetcher.content.checksums import Algorithm, Checksum
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.disk.journal import PartNote
from modelyard.fetcher.disk.staging import Staging

FILE = RemoteFile(PurePosixPath("weights/a"), 3, "m/weights/a", "v", None)
NOTE = PartNote(0, 2, 5, b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    staging = Staging(tmp_path)
    arriving = staging.open(FILE)
    arriving.write(memoryview(b"ab"), 0)
    staging.note_part(FILE, NOTE)
    arriving.close()
    return tmp_path


def test_parts_of_a_killed_fetch_need_not_come_again(folder: Path) -> None:
    staging = Staging(folder)
    assert staging.parts(FILE) == {0: NOTE}
    assert staging.held_bytes([FILE]) == 2
    assert not staging.holds(FILE)
    staging.open(FILE).close()
    assert (staging.model / FILE.path).read_bytes() == b"ab\0"


def test_a_whole_file_is_held_with_its_crc(folder: Path) -> None:
    Staging(folder).accept(FILE, 0xAB)
    staging = Staging(folder)
    assert staging.holds(FILE)
    assert staging.held_bytes([FILE]) == 3
    assert staging.crc64nvme(FILE) == "00000000000000ab"


@pytest.mark.parametrize(
    "other",
    [
        RemoteFile(FILE.path, 3, FILE.key, "another version", None),
        RemoteFile(FILE.path, 3, FILE.key, "v", Checksum(Algorithm.SHA256, "x-2", (1, 2))),
    ],
)
def test_parts_of_another_version_or_cut_otherwise_do_not_count(folder: Path, other: RemoteFile) -> None:
    assert Staging(folder).held_bytes([other]) == 0


def test_parts_of_a_file_that_was_lost_never_count_again(folder: Path) -> None:
    Staging(folder).accept(FILE, 1)
    (folder / "model" / FILE.path).unlink()
    staging = Staging(folder)
    assert staging.held_bytes([FILE]) == 0
    staging.open(FILE).close()
    assert staging.held_bytes([FILE]) == 0
    assert Staging(folder).held_bytes([FILE]) == 0


def test_a_file_whose_bytes_were_wrong_comes_again(folder: Path) -> None:
    Staging(folder).forget(FILE)
    assert Staging(folder).held_bytes([FILE]) == 0
