"""The driver's calls over its real socket, with real mounts."""

import os

import grpc
import pytest

from modelyard.node.host import mounts
from tests.node.surroundings import TIMEOUT_S, Surroundings


def mounted_at(path: object) -> list[mounts.Mount]:
    return [mount for mount in mounts.current() if str(mount.point) == str(path)]


def test_a_pod_gets_its_namespaces_part_with_everything_the_layout_has(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    for folder in pod.layout.folders:
        status = folder.stat()
        assert (status.st_uid, status.st_mode & 0o7777) == (0, 0o1777)
    assert pod.layout.agent_socket.is_socket()
    assert pod.mount.samefile(around.part().root)


def test_pods_of_a_namespace_share_their_part_and_no_other_namespace_sees_it(around: Surroundings) -> None:
    around.started()
    first, second, other = around.published(), around.published(), around.published("team-b")
    (first.mount / "file").write_text("mine")
    assert (second.mount / "file").read_text() == "mine"
    assert not (other.mount / "file").exists()


def test_publishing_and_unpublishing_again_changes_nothing(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    around.driver.NodePublishVolume(pod.request(), timeout=TIMEOUT_S)
    assert len(mounted_at(pod.mount)) == 1
    around.unpublish(pod)
    around.unpublish(pod)
    assert not mounted_at(pod.mount)
    assert not pod.mount.exists()


def test_a_volume_serves_no_devices_and_no_setuid_programs_on_the_host_either(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    flags = os.statvfs(pod.mount).f_flag
    assert flags & os.ST_NOSUID
    assert flags & os.ST_NODEV
    assert not flags & os.ST_NOEXEC


def test_a_read_only_volume_cannot_be_written(around: Surroundings) -> None:
    around.started()
    pod = around.published(readonly=True)
    with pytest.raises(OSError, match="Read-only"):
        (pod.mount / "file").write_text("x")


def test_a_running_pod_does_not_notice_that_the_agent_restarts(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    around.stop()
    (pod.mount / "file").write_text("still here")
    around.started()
    assert around.line(pod).space("sha256:" + "0" * 64, 1) == {"granted": True}
    around.unpublish(pod)
    assert not mounted_at(pod.mount)


def test_a_namespace_of_the_same_name_inherits_nothing(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    (pod.mount / "file").write_text("of the former one")
    around.api.namespaces["team-a"] = "a-new-uid"
    assert not (around.published().mount / "file").exists()


def test_without_an_answer_of_the_api_server_nothing_is_published(around: Surroundings) -> None:
    around.started()
    around.api.is_away = True
    with pytest.raises(grpc.RpcError) as refused:
        around.published()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
