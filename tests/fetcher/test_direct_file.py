"""Files that are written in any order, with and without the page cache."""

import itertools
import logging
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.fetcher.disk import direct_file
from modelyard.fetcher.disk.direct_file import PAGE_BYTES, DirectFile, page_aligned

CONTENT = random.Random(9).randbytes(10 * PAGE_BYTES + 77)
BORDERS = (0, 1, 100, PAGE_BYTES - 1, 3 * PAGE_BYTES, 3 * PAGE_BYTES + 5, 9 * PAGE_BYTES + 3, len(CONTENT))


@pytest.fixture
def ramfs(tmp_path: Path) -> Iterator[Path]:
    """A file system that takes no O_DIRECT."""
    mounted = subprocess.run(["mount", "-t", "ramfs", "ramfs", str(tmp_path)], capture_output=True, check=False)
    assert mounted.returncode == 0, f"this test mounts a ramfs, which needs root: {mounted.stderr.decode()}"
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.fixture(params=["tmp_path", "ramfs"])
def path(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder / "weights"


def write(file: DirectFile, begin: int, end: int) -> None:
    memory = page_aligned(16 * PAGE_BYTES)
    into_page = begin % PAGE_BYTES
    block = memory[into_page : into_page + end - begin]
    block[:] = CONTENT[begin:end]
    file.write(block, begin)


@pytest.mark.parametrize("seed", range(8))
def test_stretches_in_any_order_make_the_file(path: Path, seed: int) -> None:
    stretches = list(itertools.pairwise(BORDERS))
    random.Random(seed).shuffle(stretches)
    file = DirectFile(path, len(CONTENT))
    for begin, end in stretches:
        write(file, begin, end)
    memory = page_aligned(16 * PAGE_BYTES)
    for begin, end in stretches:
        block = memory[begin % PAGE_BYTES : begin % PAGE_BYTES + end - begin]
        file.read(block, begin)
        assert bytes(block) == CONTENT[begin:end]
    file.sync()
    file.close()
    assert path.read_bytes() == CONTENT


def test_the_disks_space_is_taken_at_once(path: Path) -> None:
    DirectFile(path, len(CONTENT)).close()
    assert path.stat().st_size == len(CONTENT)
    assert path.stat().st_blocks * 512 >= len(CONTENT)


def test_what_was_written_stays_when_the_file_is_opened_again(path: Path) -> None:
    file = DirectFile(path, len(CONTENT))
    write(file, 0, 5)
    file.close()
    DirectFile(path, len(CONTENT)).close()
    assert path.read_bytes()[:5] == CONTENT[:5]


def test_a_file_of_another_size_is_begun_anew(path: Path) -> None:
    path.write_bytes(b"something else")
    DirectFile(path, len(CONTENT)).close()
    assert path.read_bytes() == bytes(len(CONTENT))


def test_a_link_in_the_files_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "weights").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        DirectFile(tmp_path / "weights", 5)
    assert not (tmp_path / "elsewhere").exists()


def test_writing_through_the_page_cache_is_logged_once(
    ramfs: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_file, "_logged_buffered", False)
    with caplog.at_level(logging.WARNING):
        for name in ("a", "b"):
            DirectFile(ramfs / name, len(CONTENT)).close()
    (record,) = caplog.records
    assert "refuses direct writes ([Errno 22] Invalid argument" in record.message


def test_an_empty_file_is_one(path: Path) -> None:
    DirectFile(path, 0).close()
    assert path.read_bytes() == b""
