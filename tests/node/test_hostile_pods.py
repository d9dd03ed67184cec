"""Pods that try what they may not: requests, and what a tenant, even one that is root in its pod, can leave behind."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import grpc
import pytest

from modelyard.node.csi import publish_request
from modelyard.node.host import untrusted_files
from modelyard.node.proto import csi_pb2
from tests.node.surroundings import MIB, TIMEOUT_S, Pod, Surroundings, digest
from tests.support.eventually import eventually


def block() -> csi_pb2.VolumeCapability:
    return csi_pb2.VolumeCapability(block=csi_pb2.VolumeCapability.BlockVolume())


def with_options() -> csi_pb2.VolumeCapability:
    return csi_pb2.VolumeCapability(mount=csi_pb2.VolumeCapability.MountVolume(mount_flags=["suid"]))


def context(**changed: str | None) -> Callable[[Pod], dict[str, Any]]:
    def made(pod: Pod) -> dict[str, Any]:
        names = {
            "ephemeral": publish_request.EPHEMERAL,
            "uid": publish_request.POD_UID,
            "namespace": publish_request.NAMESPACE,
        }
        values = pod.context() | {names.get(name, name): value for name, value in changed.items()}
        return {"volume_context": {name: value for name, value in values.items() if value is not None}}

    return made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(context(path="/etc"), "does not support the attribute", id="attributes"),
        pytest.param(context(ephemeral="false"), "inline", id="a persistent volume"),
        pytest.param(context(ephemeral=None), "inline", id="not declared ephemeral"),
        pytest.param(context(uid=None), "podInfoOnMount", id="no pod"),
        pytest.param(context(uid="another"), "not of 'another'", id="another pod's target"),
        pytest.param(context(namespace="../team-b"), "is not a namespace", id="no namespace name"),
        pytest.param(context(namespace="TEAM"), "is not a namespace", id="letters of no name"),
        pytest.param(lambda _: {"secrets": {"key": "value"}}, "does not support secrets", id="secrets"),
        pytest.param(lambda _: {"volume_capability": block()}, "neither block volumes", id="a block volume"),
        pytest.param(lambda _: {"volume_capability": with_options()}, "nor mount options", id="mount options"),
        pytest.param(lambda _: {"target_path": "/etc"}, "no volume of a pod", id="a path elsewhere"),
        pytest.param(lambda pod: {"target_path": f"{pod.mount}/../mount"}, "no volume of a pod", id="a path with dots"),
        pytest.param(
            lambda pod: {"target_path": str(pod.mount).replace("/pods/", "/pods/../pods/")},
            "no volume",
            id="dots before",
        ),
        pytest.param(lambda pod: {"target_path": f"{pod.mount}/more"}, "no volume of a pod", id="below a volume"),
    ],
)
def test_a_request_that_no_pods_inline_volume_gives_is_refused(
    around: Surroundings, change: Callable[[Pod], dict[str, Any]], words: str
) -> None:
    around.started()
    pod = around.pod()
    with pytest.raises(grpc.RpcError, match=words) as refused:
        around.driver.NodePublishVolume(pod.request(**change(pod)), timeout=TIMEOUT_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not pod.mount.exists()


def test_an_unpublish_elsewhere_is_refused(around: Surroundings) -> None:
    around.started()
    request = csi_pb2.NodeUnpublishVolumeRequest(volume_id="csi-1", target_path=str(around.cache))
    with pytest.raises(grpc.RpcError) as refused:
        around.driver.NodeUnpublishVolume(request, timeout=TIMEOUT_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("part", ["volumes", "volumes/kubernetes.io~csi", "volumes/kubernetes.io~csi/cache"])
def test_a_target_with_a_symlink_in_it_is_not_followed(around: Surroundings, part: str) -> None:
    around.started()
    pod = around.pod()
    folder = around.kubelet / "pods" / pod.uid / part
    folder.rename(folder.with_name("moved"))
    folder.symlink_to(folder.with_name("moved"))
    with pytest.raises(grpc.RpcError) as refused:
        around.driver.NodePublishVolume(pod.request(), timeout=TIMEOUT_S)
    assert refused.value.code() is grpc.StatusCode.INTERNAL


def test_a_mount_point_that_is_a_symlink_is_not_followed(around: Surroundings, tmp_path: Path) -> None:
    around.started()
    pod = around.pod()
    pod.mount.symlink_to(tmp_path)
    with pytest.raises(grpc.RpcError):
        around.driver.NodePublishVolume(pod.request(), timeout=TIMEOUT_S)
    assert not os.listdir(tmp_path)  # noqa: PTH208 - nothing is mounted there
    pod.mount.unlink()


@pytest.mark.parametrize(("namespace", "pods_folder"), [("a", "/var/lib/kubelet/pods")])
def test_paths_of_the_kubelet_are_accepted(namespace: str, pods_folder: str) -> None:
    uid = "6d9b1f3e-0f5e-4f7c-8a57-2f0d1f5f0a10"
    values = {publish_request.NAMESPACE: namespace, publish_request.POD_UID: uid, publish_request.EPHEMERAL: "true"}
    path = f"{pods_folder}/{uid}/volumes/kubernetes.io~csi/cache/mount"
    found = publish_request.publication(path, values, PurePosixPath(pods_folder), is_read_only=False)
    assert f"{pods_folder}/{found.target.path}" == path


@contextmanager
def outside(folder: Path) -> Iterator[Path]:
    """A file that must not be touched; it must be there, unchanged, when the test is over."""
    file = folder / "precious"
    file.write_text("precious")
    before = file.stat()
    yield file
    assert file.read_text() == "precious"
    assert (file.stat().st_mode, file.stat().st_uid) == (before.st_mode, before.st_uid)


def test_links_in_place_of_folders_are_not_followed_when_the_part_is_made_again(
    around: Surroundings, tmp_path: Path
) -> None:
    around.started()
    pod = around.published()
    with outside(tmp_path):
        for folder in pod.layout.folders:
            folder.rmdir()
            folder.symlink_to(tmp_path)
        pod.layout.agent_socket.unlink()
        pod.layout.agent_socket.symlink_to(tmp_path / "precious")
        around.stop()
        around.started()
        second = around.published()
        assert all(folder.is_dir() and not folder.is_symlink() for folder in second.layout.folders)
        assert around.line(second).space(digest("a"), MIB) == {"granted": True}
        assert tmp_path.stat().st_mode & 0o7777 != 0o1777


def test_entries_that_are_links_lead_nowhere_when_they_are_evicted(around: Surroundings, tmp_path: Path) -> None:
    around.started()
    pod = around.published()
    with outside(tmp_path):
        pod.layout.entry(digest("a")).symlink_to(tmp_path)
        entry = pod.writes_entry(digest("b"), MIB)
        (entry / "out").symlink_to(tmp_path)
        (entry / "back").symlink_to("..")
        os.utime(entry, (1, 1))
        around.fetches(pod, digest("c"), 30 * MIB, used_s=2)
        line = around.line(pod)
        eventually(lambda: line.space(digest("d"), 39 * MIB)["granted"])
        assert not entry.exists()


def test_pipes_sockets_and_hard_links_block_no_one_else(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    entry = pod.writes_entry(digest("a"), MIB)
    os.mkfifo(entry / "pipe")
    os.mkfifo(pod.layout.lock(digest("a")))
    pod.layout.record(digest("a")).unlink()
    os.mkfifo(pod.layout.record(digest("a")))
    (entry / "again").hardlink_to(entry / "weights")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        with untrusted_files.opened_folder(str(entry)) as folder:
            listening.bind(f"/proc/self/fd/{folder}/socket")
        os.utime(entry, (1, 1))
        assert around.line(pod).space(digest("b"), 39 * MIB) == {"granted": True}
        assert not entry.exists()


def deep(folder: Path, levels: int) -> None:
    """Folders in folders, deeper than any path may be long."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def test_a_tree_deeper_than_any_stack_is_removed_all_the_same(around: Surroundings) -> None:
    agent = around.started()
    pod = around.published()
    entry = pod.writes_entry(digest("a"), MIB)
    deep(entry, 3000)
    assert around.line(pod).space(digest("b"), MIB)["reason"] == "OverBudget"
    assert around.line(pod).send(ask="discard", digest=digest("a")) == {"discarded": True}
    eventually(lambda: around.line(pod).space(digest("b"), MIB)["granted"])
    with agent._parts.trash() as trash:
        eventually(lambda: untrusted_files.empty(trash))


def test_a_tree_larger_than_any_patience_is_none_that_gets_more_room(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    with untrusted_files.opened_folder(str(pod.mount)) as folder:
        os.close(os.open("file", os.O_CREAT, dir_fd=folder))
        for number in range(untrusted_files.MAX_FILES):
            os.link("file", f"{number}", src_dir_fd=folder, dst_dir_fd=folder)
    assert around.line(pod).space(digest("a"), MIB)["reason"] == "OverBudget"


def test_a_process_that_holds_a_folder_open_cannot_add_to_it_while_it_is_removed(around: Surroundings) -> None:
    agent = around.started()
    pod = around.published()
    pod.writes_entry(digest("a"), MIB)
    entry = around.part().entry(digest("a"))
    os.chown(entry, 1234, 1234)
    (entry / "inner").mkdir()
    with agent._parts.trash() as trash, untrusted_files.opened_folder(str(entry)) as kept:
        with untrusted_files.opened_folder(str(entry.parent)) as entries:
            name = untrusted_files.discard(entry.name, entries, trash)
        untrusted_files.empty(trash, limit=1)
        assert os.fstat(kept).st_uid == 0
        assert untrusted_files.status(name, trash) is not None
        assert untrusted_files.empty(trash)
        assert untrusted_files.folder_names(trash) == []


def test_a_socket_that_a_tenant_removed_is_there_again_with_the_next_pod(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    pod.layout.agent_socket.unlink()
    assert around.line(around.published()).space(digest("a"), MIB) == {"granted": True}


def test_one_namespace_cannot_take_all_connections_of_another(around: Surroundings) -> None:
    around.started()
    greedy, other = around.published("team-a"), around.published("team-b")
    lines = [around.line(greedy) for _ in range(70)]
    assert around.line(other).space(digest("a"), MIB) == {"granted": True}
    lines[0].close()


def test_another_namespaces_files_are_not_below_anything_that_a_pod_sees(around: Surroundings) -> None:
    around.started()
    own, other = around.published("team-a"), around.published("team-b")
    (other.mount / "secret").write_text("of team-b")
    seen = [name for _, folders, files in os.walk(own.mount) for name in (*folders, *files)]
    assert "secret" not in seen
    with pytest.raises(OSError, match="cross-device"):
        (own.mount / "link").hardlink_to(other.mount / "secret")
