"""Bit rot: what was verified when it came is read again, and what is no longer the same goes."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard.contract.entry_record import EntryRecord, FileRecord
from modelyard.node.cache import records, scrubber
from modelyard.node.cache.budget import Item, Kind
from tests.node.surroundings import MIB, Surroundings, digest


def flip_a_bit(entry: Path) -> None:
    """As a disk does: no size and no time changes."""
    weights = entry / "weights"
    before = weights.stat()
    with weights.open("r+b") as file:
        file.seek(MIB)
        byte = file.read(1)
        file.seek(MIB)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_entries_with_all_their_bytes_stay_and_a_corrupt_one_goes(around: Surroundings) -> None:
    agent = around.started(check_interval_s=1)
    pod = around.published()
    whole = around.fetches(pod, digest("a"), 2 * MIB + 17, used_s=1)
    corrupt = around.fetches(pod, digest("b"), 2 * MIB + 17, used_s=1)
    flip_a_bit(corrupt)
    agent._byte_check.run()
    assert [whole.exists(), corrupt.exists()] == [True, False]
    assert not pod.layout.record(digest("b")).exists()


def test_a_corrupt_entry_in_use_is_marked_and_stays_for_those_who_use_it(around: Surroundings) -> None:
    agent = around.started(check_interval_s=1)
    pod = around.published()
    corrupt = around.fetches(pod, digest("a"), 2 * MIB, used_s=1)
    pod.links(digest("a"))
    flip_a_bit(corrupt)
    agent._byte_check.run()
    assert corrupt.exists()
    assert pod.layout.corrupt(digest("a")).exists()


@pytest.mark.parametrize("loss", ["missing", "shorter", "a link"])
def test_an_entry_that_lost_a_file_is_corrupt(around: Surroundings, loss: str) -> None:
    agent = around.started(check_interval_s=1)
    pod = around.published()
    entry = around.fetches(pod, digest("a"), 2 * MIB, used_s=1)
    weights = entry / "weights"
    if loss == "shorter":
        os.truncate(weights, MIB)
    else:
        weights.unlink()
    if loss == "a link":
        weights.symlink_to("/etc/passwd")
    os.utime(entry, (1, 1))
    agent._byte_check.run()
    assert entry.exists() == (loss == "a link")  # a link is never followed, so nothing is known of it


def a_record(path: str) -> str:
    return EntryRecord("s3://m", datetime.now(UTC), digest("a"), (FileRecord(path, 1, 1, "0" * 16),)).as_json()


@pytest.mark.parametrize(
    "record",
    [
        "no json",
        "{}",
        a_record("../../../../etc/passwd"),
        a_record("/etc/passwd"),
        "[" * 100_000,
        "x" * (records.SIZE_LIMIT_BYTES + 1),
    ],
    ids=["text", "empty", "outside", "absolute", "deep", "large"],
)
def test_a_record_that_no_fetcher_wrote_leads_nowhere(around: Surroundings, record: str) -> None:
    agent = around.started(check_interval_s=1)
    pod = around.published()
    entry = around.fetches(pod, digest("a"), MIB, used_s=1)
    pod.layout.record(digest("a")).write_text(record)
    agent._byte_check.run()
    assert entry.exists()


def test_a_checked_entry_is_not_due_again_until_the_interval_is_over_a_restart_included(
    around: Surroundings,
) -> None:
    agent = around.started(check_interval_s=1000)
    entry = around.fetches(around.published(), digest("a"), 2 * MIB, used_s=1)
    agent._byte_check.run()
    flip_a_bit(entry)
    os.utime(entry, (1, 1))
    around.stop()
    around.started(check_interval_s=1000)._byte_check.run()
    assert entry.exists()


@pytest.mark.parametrize(
    ("checked_s", "due"),
    [
        pytest.param({}, "old", id="never checked: since it came"),
        pytest.param({"n/old": 900.0}, "new", id="longest ago first"),
        pytest.param({"n/old": 900.0, "n/new": 901.0}, None, id="all checked lately"),
        pytest.param({"n/old": 300.0, "n/new": 200.0}, "new", id="both overdue"),
    ],
)
def test_what_is_due(checked_s: dict[str, float], due: str | None) -> None:
    entries = [Item("n", Kind.ENTRY, "old", 1, 100), Item("n", Kind.ENTRY, "new", 1, 400)]
    found = scrubber.next_due(entries, checked_s, now_s=1000, interval_s=500)
    assert (found.name if found else None) == due
