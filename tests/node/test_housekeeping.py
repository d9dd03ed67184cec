"""What comes round: pods and namespaces that are gone, and what dead fetches left."""

import fcntl
import os
from pathlib import Path

import pytest

from modelyard.contract.cache_layout import folder_name
from modelyard.node.agent import Agent
from modelyard.node.host import mounts
from modelyard.node.host.api_server import UnreachableError
from tests.node.surroundings import MIB, Pod, Surroundings, digest


def tidied(agent: Agent) -> None:
    agent._housekeeping.tidy()


def test_a_namespace_that_is_gone_leaves_no_bytes_behind(around: Surroundings) -> None:
    agent = around.started()
    pod = around.published()
    around.fetches(pod, digest("a"), MIB)
    part = around.part()
    del around.api.namespaces["team-a"]
    tidied(agent)
    assert part.root.exists(), "a pod still has the volume"
    around.unpublish(pod)
    tidied(agent)
    assert not part.root.exists()
    assert {path.name for path in around.cache.iterdir()} == {".modelyard"}


def test_a_namespace_whose_name_is_anothers_now_is_gone(around: Surroundings) -> None:
    agent = around.started()
    around.unpublish(around.published())
    part = around.part()
    around.api.namespaces["team-a"] = "another-uid"
    tidied(agent)
    assert not part.root.exists()


def test_while_the_api_server_is_away_nothing_is_gone(around: Surroundings) -> None:
    agent = around.started()
    around.unpublish(around.published())
    around.api.is_away = True
    with pytest.raises(UnreachableError):
        tidied(agent)
    assert around.part().root.exists()


def test_a_volume_of_an_unknown_pod_is_removed_at_the_second_look(around: Surroundings) -> None:
    agent = around.started()
    pod, living = around.published(), around.published()
    around.api.pods = [{"uid": living.uid}]
    tidied(agent)
    assert pod.layout.agent_socket.exists()
    tidied(agent)
    mounted = {Path(mount.point) for mount in mounts.current()}
    assert [pod.mount in mounted, living.mount in mounted] == [False, True]


def test_the_volume_of_a_static_pod_is_known_by_its_mirror(around: Surroundings) -> None:
    agent = around.started()
    pod = around.published()
    around.api.pods = [{"uid": "mirror", "annotations": {"kubernetes.io/config.hash": pod.uid}}]
    tidied(agent)
    tidied(agent)
    assert pod.layout.agent_socket.exists()


def test_links_that_a_power_cut_left_go_and_those_of_living_pods_stay(around: Surroundings) -> None:
    agent = around.started(leftover_age_s=0.001)
    pod, waiting = around.published(), around.pod()
    around.fetches(pod, digest("a"), MIB)
    for uid in (pod.uid, waiting.uid, "long-gone"):
        pod.layout.link(uid).symlink_to(pod.layout.link_target(digest("a")))
    tidied(agent)
    assert {link.name for link in pod.layout.by_pod.iterdir()} == {pod.uid, waiting.uid}


def write_leftovers(pod: Pod) -> list[Path]:
    layout = pod.layout
    leftovers = [
        layout.staged(digest("b")),
        layout.staged_by(digest("c"), 1234),
        layout.staging / f"broken-{folder_name(digest('d'))}-12ab",
        layout.staging / "something",
        layout.entry(digest("e")),
        layout.entries / "something",
        layout.compile_caches / "Something",
        pod.mount / "something",
    ]
    for folder in leftovers:
        folder.mkdir()
        (folder / "file").write_bytes(os.urandom(4096))
    files = [layout.record(digest("f")), layout.corrupt(digest("f")), layout.records / f".{digest('f')}.json.1000"]
    for file in files:
        file.write_text("{}")
    return [*leftovers, *files]


def test_what_dead_fetches_left_goes_and_what_is_whole_stays(around: Surroundings) -> None:
    agent = around.started(leftover_age_s=0.001)
    pod = around.published()
    entry = around.fetches(pod, digest("a"), MIB)
    cache = pod.layout.compile_cache("0123456789abcdef")
    cache.mkdir()
    leftovers = write_leftovers(pod)
    tidied(agent)
    assert [path.name for path in leftovers if path.exists()] == []
    assert [path.exists() for path in (entry, pod.layout.record(digest("a")), cache)] == [True] * 3


def test_what_is_young_stays(around: Surroundings) -> None:
    agent = around.started()
    pod = around.published()
    leftovers = write_leftovers(pod)
    tidied(agent)
    assert [path.name for path in leftovers if not path.exists()] == [f"broken-{folder_name(digest('d'))}-12ab"]


def test_a_fetch_that_goes_on_keeps_what_it_staged(around: Surroundings) -> None:
    agent = around.started(leftover_age_s=0.001)
    pod = around.published()
    locked, granted = pod.layout.staged(digest("a")), pod.layout.staged(digest("b"))
    locked.mkdir()
    granted.mkdir()
    line = around.line(pod)
    assert line.space(digest("b"), MIB)["granted"]
    with pod.layout.lock(digest("a")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tidied(agent)
        assert locked.exists()
        assert granted.exists()
    tidied(agent)
    assert not locked.exists()


def test_a_broken_entry_goes_when_no_container_sees_it_any_more(around: Surroundings) -> None:
    agent = around.started()
    pod = around.published()
    broken = pod.layout.staging / "broken-x"
    broken.mkdir()
    seen_at = around.kubelet / "pods" / pod.uid / "volume-subpaths/cache/engine/0"
    seen_at.mkdir(parents=True)
    with around.bind_mounted(broken, seen_at):
        tidied(agent)
        assert broken.exists()
    tidied(agent)
    assert not broken.exists()


def test_a_folder_that_a_container_sees_is_in_use_without_any_link(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    entry = around.fetches(pod, digest("a"), 30 * MIB)
    seen_at = around.kubelet / "pods" / pod.uid / "volume-subpaths/cache/engine/0"
    seen_at.mkdir(parents=True)
    line = around.line(pod)
    with around.bind_mounted(entry, seen_at):
        assert line.space(digest("b"), 20 * MIB)["reason"] == "CacheFull"
        assert entry.exists()
    assert line.space(digest("b"), 20 * MIB) == {"granted": True}


def test_what_pods_that_are_gone_had_of_a_compile_cache_goes(around: Surroundings) -> None:
    agent = around.started()
    pod = around.published()
    users = pod.layout.compile_cache("0123456789abcdef") / "pods"
    for uid in (pod.uid, "gone"):
        (users / uid).mkdir(parents=True)
    tidied(agent)
    assert [folder.name for folder in users.iterdir()] == [pod.uid]


def test_a_cache_that_is_over_its_limits_is_trimmed(around: Surroundings) -> None:
    agent = around.started()
    pod = around.published()
    honest = around.fetches(pod, digest("a"), 8 * MIB, used_s=1)
    other = around.published("team-b")
    greedy = other.writes_entry(digest("b"), 39 * MIB)
    agent._cache.trim()
    assert [honest.exists(), greedy.exists()] == [True, False]
