"""Space for models: what pods request over the socket in their volume, and the answers."""

import json
import os
import time

import pytest

from modelyard.contract.cache_layout import folder_name
from tests.node.surroundings import MIB, Surroundings, digest
from tests.support.eventually import eventually


def test_room_that_is_there_is_granted(around: Surroundings) -> None:
    around.started()
    line = around.line(around.published())
    assert line.space(digest("a"), 30 * MIB) == {"granted": True}


def test_a_model_larger_than_the_budget_is_refused_with_the_figures(around: Surroundings) -> None:
    around.started()
    answer = around.line(around.published()).space(digest("a"), 41 * MIB)
    assert (answer["granted"], answer["reason"]) == (False, "BudgetTooSmall")
    assert "the model needs 41 MiB" in answer["message"]
    assert "at most 40 MiB" in answer["message"]


def test_a_grant_holds_until_its_connection_ends_however_it_ends(around: Surroundings) -> None:
    around.started()
    first, second = (around.published() for _ in range(2))
    holder = around.line(first)
    assert holder.space(digest("a"), 30 * MIB)["granted"]
    other = around.line(second)
    assert other.space(digest("b"), 30 * MIB)["reason"] == "CacheFull"
    holder.close()
    eventually(lambda: other.space(digest("b"), 30 * MIB)["granted"])


def test_what_is_already_staged_is_not_requested_twice(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    killed = around.line(pod)
    assert killed.space(digest("a"), 39 * MIB)["granted"]
    staged = pod.layout.staging / folder_name(digest("a"))
    staged.mkdir()
    (staged / "part").write_bytes(os.urandom(25 * MIB))
    killed.close()
    line = around.line(pod)
    eventually(lambda: line.space(digest("a"), 39 * MIB)["granted"])
    assert (staged / "part").exists()


def test_the_least_recently_used_model_goes_for_a_new_one_and_one_in_use_stays(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    oldest, older, newest = (
        around.fetches(pod, digest(letter), 8 * MIB, used_s=used_s) for letter, used_s in (("a", 1), ("b", 2), ("c", 3))
    )
    pod.links(digest("a"))
    line = around.line(pod)
    eventually(lambda: line.space(digest("d"), 20 * MIB)["granted"])
    assert [entry.exists() for entry in (oldest, older, newest)] == [True, False, True]
    assert not pod.layout.record(digest("b")).exists()


def test_a_model_is_in_use_until_its_volume_is_unpublished_and_then_was_just_used(around: Surroundings) -> None:
    around.started()
    user, asker = around.published(), around.published()
    entry = around.fetches(user, digest("a"), 30 * MIB, used_s=1000)
    user.links(digest("a"))
    assert around.line(asker).space(digest("b"), 20 * MIB)["reason"] == "CacheFull"
    around.unpublish(user)
    part = around.part()
    assert time.time() - part.entry(digest("a")).stat().st_mtime < 60
    assert not part.link(user.uid).is_symlink()
    assert around.line(asker).space(digest("b"), 20 * MIB) == {"granted": True}
    assert not entry.exists()


def test_a_link_of_a_pod_without_a_volume_holds_nothing(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    entry = around.fetches(pod, digest("a"), 30 * MIB)
    (pod.layout.by_pod / "some-other-pod").symlink_to(pod.layout.link_target(digest("a")))
    line = around.line(pod)
    eventually(lambda: line.space(digest("b"), 20 * MIB)["granted"])
    assert not entry.exists()


def test_another_namespaces_guaranteed_share_stays_and_what_is_above_goes(around: Surroundings) -> None:
    around.started()
    own, other = around.published("team-a"), around.published("team-b")
    for letter, used_s in (("a", 1), ("b", 2), ("c", 3)):
        around.fetches(other, digest(letter), 8 * MIB, used_s=used_s)
    asker = around.line(own)
    assert asker.space(digest("d"), 26 * MIB)["reason"] == "CacheFull"
    eventually(lambda: asker.space(digest("d"), 23 * MIB)["granted"])
    assert [other.layout.entry(digest(letter)).exists() for letter in "abc"] == [False, True, True]


def test_a_namespace_that_wrote_more_than_its_share_without_a_grant_gets_no_new_entries(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    (pod.mount / "greedy").write_bytes(os.urandom(12 * MIB))
    assert around.line(pod).space(digest("a"), MIB)["reason"] == "OverBudget"
    (pod.mount / "greedy").unlink()
    assert around.line(pod).space(digest("a"), MIB) == {"granted": True}


def test_requests_for_space_outlive_a_restart_of_the_agent(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    assert around.line(pod).space(digest("a"), 20 * MIB)["granted"]
    pod.writes_entry(digest("a"), 20 * MIB)
    around.stop()
    around.started()
    assert around.line(pod).space(digest("b"), MIB) == {"granted": True}


def test_a_broken_entry_is_discarded_for_a_user_who_may_not(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    entry = pod.writes_entry(digest("a"), MIB)
    line = around.line(pod)
    assert line.send(ask="discard", digest=digest("a")) == {"discarded": True}
    assert not entry.exists()
    assert line.send(ask="discard", digest=digest("a"))["discarded"] is False


def test_what_was_noted_of_an_entry_that_never_came_is_discarded_too(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    pod.writes_entry(digest("a"), MIB).rename(pod.layout.staging / "b")
    record = pod.layout.record(digest("a"))
    record.write_text("{}")
    assert around.line(pod).send(ask="discard", digest=digest("a")) == {"discarded": True}
    assert not record.exists()


def test_a_broken_entry_in_use_loses_its_name_and_keeps_its_files(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    entry = pod.writes_entry(digest("a"), MIB)
    pod.links(digest("a"))
    descriptor = os.open(entry, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert around.line(pod).send(ask="discard", digest=digest("a")) == {"discarded": True}
        assert not entry.exists()
        assert os.listdir(descriptor) == ["weights"]  # noqa: PTH208 - by descriptor, as a mount sees it
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[1]\n",
        b'{"ask": "money", "digest": "' + digest("a").encode() + b'"}\n',
        b'{"ask": "space", "digest": "sha256:../../etc", "bytes": 1}\n',
        b'{"ask": "space", "bytes": 1}\n',
        b'{"ask": "discard", "digest": ["x"]}\n',
        json.dumps({"ask": "space", "digest": digest("a"), "bytes": -1}).encode() + b"\n",
        json.dumps({"ask": "space", "digest": digest("a"), "bytes": "1"}).encode() + b"\n",
        json.dumps({"ask": "space", "digest": digest("a"), "bytes": True}).encode() + b"\n",
        b"[" * 2000 + b"\n",
    ],
)
def test_a_malformed_request_gets_an_error_and_the_next_one_its_answer(around: Surroundings, line: bytes) -> None:
    around.started()
    connection = around.line(around.published())
    assert "error" in connection.send_line(line)
    assert connection.space(digest("a"), 1) == {"granted": True}


def test_a_line_without_an_end_ends_the_connection(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    assert around.line(pod).send_line(b"x" * 10_000) is None
    assert around.line(pod).space(digest("a"), 1) == {"granted": True}
