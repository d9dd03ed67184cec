"""What the kubelet and the node see of an agent that starts: registration, the start-up taint, /healthz, /cache."""

import json
import urllib.error
import urllib.request

import grpc
import pytest

from modelyard.contract import names
from modelyard.node.host.cluster import taint_removal
from modelyard.node.proto import csi_pb2, csi_pb2_grpc, registration_pb2, registration_pb2_grpc
from tests.node.surroundings import MIB, NODE, TIMEOUT_S, Surroundings, digest
from tests.support.eventually import eventually

STARTING = {"key": names.TAINT_CACHE_STARTING, "effect": "NoSchedule"}
OTHER = {"key": "example.com/other", "effect": "NoSchedule"}


def registered(around: Surroundings, *, taken: bool = True) -> registration_pb2.PluginInfo:
    """What the kubelet does with a socket that it finds."""
    socket = f"unix://{around.kubelet}/plugins_registry/{names.CSI_DRIVER}-reg.sock"
    with grpc.insecure_channel(socket) as channel:
        kubelet = registration_pb2_grpc.RegistrationStub(channel)
        info = kubelet.GetInfo(registration_pb2.InfoRequest(), timeout=TIMEOUT_S)
        status = registration_pb2.RegistrationStatus(plugin_registered=taken, error="" if taken else "no")
        kubelet.NotifyRegistrationStatus(status, timeout=TIMEOUT_S)
    assert isinstance(info, registration_pb2.PluginInfo)
    return info


def answer(around: Surroundings, path: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{around.port}{path}", timeout=TIMEOUT_S) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_kubelet_finds_the_driver_at_the_registered_address(around: Surroundings) -> None:
    around.started()
    info = registered(around)
    assert (info.type, info.name) == ("CSIPlugin", names.CSI_DRIVER)
    with grpc.insecure_channel(f"unix://{info.endpoint}") as channel:
        identity = csi_pb2_grpc.IdentityStub(channel)
        assert identity.GetPluginInfo(csi_pb2.GetPluginInfoRequest(), timeout=TIMEOUT_S).name == names.CSI_DRIVER
        assert identity.Probe(csi_pb2.ProbeRequest(), timeout=TIMEOUT_S).ready.value
        assert not identity.GetPluginCapabilities(csi_pb2.GetPluginCapabilitiesRequest()).ListFields()
        driver = csi_pb2_grpc.NodeStub(channel)
        assert driver.NodeGetInfo(csi_pb2.NodeGetInfoRequest(), timeout=TIMEOUT_S).node_id == NODE
        assert not driver.NodeGetCapabilities(csi_pb2.NodeGetCapabilitiesRequest()).ListFields()


def test_the_sockets_are_roots_alone(around: Surroundings) -> None:
    around.started()
    for socket in around.kubelet.glob("plugins*/**/*.sock"):
        assert socket.stat().st_mode & 0o777 == 0o600


def test_the_start_up_taint_goes_once_the_kubelet_took_the_driver_and_not_before(around: Surroundings) -> None:
    around.api.taints = [OTHER, STARTING]
    around.started()
    registered(around, taken=False)
    assert around.api.taints == [OTHER, STARTING]
    registered(around)
    eventually(lambda: around.api.taints == [OTHER])


def test_a_node_without_the_taint_is_not_written_to() -> None:
    assert taint_removal({"spec": {"taints": [OTHER]}}) == []
    assert taint_removal({"spec": {}}) == []


def test_the_agent_is_healthy_while_the_kubelet_can_find_its_sockets(around: Surroundings) -> None:
    around.started()
    assert answer(around, "/healthz")[0] == 200
    (around.kubelet / f"plugins_registry/{names.CSI_DRIVER}-reg.sock").unlink()
    assert answer(around, "/healthz")[0] == 503


def test_the_agent_is_ready_once_the_kubelet_took_the_driver(around: Surroundings) -> None:
    around.started()
    assert answer(around, "/readyz")[0] == 503
    registered(around, taken=False)
    assert answer(around, "/readyz")[0] == 503
    registered(around)
    assert answer(around, "/readyz")[0] == 200


def test_the_cache_reports_who_holds_what(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    around.fetches(pod, digest("a"), MIB)
    pod.links(digest("a"))
    eventually(lambda: around.agent._cache._known_ledger().live == [])
    report = json.loads(answer(around, "/cache")[1])
    [namespace] = report.pop("namespaces")
    entry = namespace.pop("entries")[0]
    assert report.keys() == {"node", "path_missing", "budget_bytes", "used_bytes", "free_bytes"}
    assert (report["node"], report["path_missing"], report["budget_bytes"]) == (NODE, False, 40 * MIB)
    assert (entry["digest"], entry["pins"]) == (digest("a"), 1)
    assert entry["size_bytes"] == pytest.approx(MIB, abs=8192)
    assert (namespace["name"], namespace["uid"]) == ("team-a", around.api.namespaces["team-a"])
    assert namespace["over_budget"] is False
    assert namespace["used_bytes"] == report["used_bytes"]


def test_a_node_without_the_caches_folder_reports_it_and_refuses_volumes(around: Surroundings) -> None:
    around.cache.rmdir()
    around.started()
    assert json.loads(answer(around, "/cache")[1])["path_missing"] is True
    assert "modelyard_node_path_missing 1.0" in answer(around, "/metrics")[1]
    with pytest.raises(grpc.RpcError) as refused:
        around.published()
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert f"this node has no folder {around.cache}" in refused.value.details()
    around.cache.mkdir()
    around.published()
    eventually(lambda: json.loads(answer(around, "/cache")[1])["path_missing"] is False)


def test_the_metrics_count_what_happened(around: Surroundings) -> None:
    around.started()
    pod = around.published()
    around.line(pod).space(digest("a"), 100 * MIB)
    text = answer(around, "/metrics")[1]
    assert 'modelyard_node_publications_total{outcome="OK"} 1.0' in text
    assert 'modelyard_node_refusals_total{reason="BudgetTooSmall"} 1.0' in text
    assert 'modelyard_node_used_bytes{namespace="team-a"}' in text
    assert "modelyard_node_budget_bytes 4.194304e+07" in text


def test_other_paths_are_not_there(around: Surroundings) -> None:
    around.started()
    assert answer(around, "/../etc/passwd")[0] == 404
