"""What a journal holds after any end of its writer: a kill, a torn line, another boot."""

from pathlib import Path

import pytest

from modelyard.fetcher.disk.journal import Journal, PartNote

FIRST = PartNote(0, 10, 0x0123456789ABCDEF, b"abc")
SECOND = PartNote(10, 5, 1, b"")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def put_into_another_boot(path: Path) -> None:
    """As if the machine had been started anew since."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join('["boot","another"]\n' if line.startswith('["boot"') else line for line in lines))


def test_parts_are_there_after_a_kill(path: Path) -> None:
    journal = Journal(path)
    journal.part("a", FIRST)
    journal.part("b", SECOND)
    assert Journal(path).notes.parts == {"a": {0: FIRST}, "b": {10: SECOND}}


def test_after_a_power_cut_only_those_parts_count_that_were_synced(path: Path) -> None:
    journal = Journal(path)
    journal.part("a", FIRST)
    count = journal.noted("a")
    journal.part("a", SECOND)
    journal.part("b", SECOND)
    journal.synced("a", count)
    put_into_another_boot(path)
    assert Journal(path).notes.parts == {"a": {0: FIRST}}


def test_a_restart_in_between_makes_no_part_safer_against_a_power_cut(path: Path) -> None:
    Journal(path).part("a", FIRST)
    again = Journal(path)
    again.part("a", SECOND)
    assert again.noted("a") == 2
    assert Journal(path).notes.parts == {"a": {0: FIRST, 10: SECOND}}
    put_into_another_boot(path)
    assert Journal(path).notes.parts == {}


def test_parts_that_were_synced_count_through_any_number_of_boots(path: Path) -> None:
    journal = Journal(path)
    journal.part("a", FIRST)
    journal.synced("a", 1)
    for _ in range(2):
        put_into_another_boot(path)
        assert Journal(path).notes.parts == {"a": {0: FIRST}}


@pytest.mark.parametrize("cut_bytes", range(1, 60))
def test_a_torn_line_and_nothing_else_is_lost(path: Path, cut_bytes: int) -> None:
    journal = Journal(path)
    journal.part("a", FIRST)
    whole = path.read_bytes()
    journal.part("a", SECOND)
    line = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + line[: min(cut_bytes, len(line) - 1)])
    again = Journal(path)
    assert again.notes.parts == {"a": {0: FIRST}}
    assert path.read_bytes() == whole
    again.part("a", SECOND)
    assert Journal(path).notes.parts == {"a": {0: FIRST, 10: SECOND}}


@pytest.mark.parametrize(
    "garbage", [b"\0\0\0\n", b"[1]\n", b"{}\n", b'["part","a",-1]\n', b"[" * 100_000 + b"\n", b"\xff\n"]
)
def test_what_is_no_journals_line_ends_it(path: Path, garbage: bytes) -> None:
    journal = Journal(path)
    journal.part("a", FIRST)
    whole = path.read_bytes()
    path.write_bytes(whole + garbage + whole)
    assert Journal(path).notes.parts == {"a": {0: FIRST}}
    assert path.read_bytes() == whole


def test_a_file_that_must_come_again_is_forgotten(path: Path) -> None:
    journal = Journal(path)
    journal.part("a", FIRST)
    journal.whole("b", 7)
    journal.again("a")
    journal.again("b")
    journal.part("a", SECOND)
    assert Journal(path).notes.parts == {"a": {10: SECOND}}
    assert Journal(path).notes.whole == {}


def test_whole_files_are_known_with_their_crc(path: Path) -> None:
    Journal(path).whole("a", 7)
    put_into_another_boot(path)
    assert Journal(path).notes.whole == {"a": 7}
