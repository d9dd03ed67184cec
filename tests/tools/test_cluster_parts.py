"""The pure parts of the local cluster: its configuration, its pod network, and what is put back on the host."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from e2e.cluster import kind_cluster, network
from e2e.cluster.commands import Commands
from e2e.cluster.demo import changed_conditions, next_commands
from e2e.cluster.host import Host, without_docker
from e2e.cluster.plan import all_steps
from e2e.cluster.steps import CannotMakeError, Making, in_order, link_program

NODES = {"a": ("10.0.0.2", "10.244.0.0/24"), "b": ("10.0.0.3", "10.244.1.0/24"), "c": ("10.0.0.4", "10.244.2.0/24")}


@pytest.mark.parametrize("pull", [True, False])
def test_every_step_needs_only_steps_that_exist(pull: bool) -> None:
    steps = all_steps(pull=pull)
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    assert {step.name for step in in_order(steps, names)} == set(names)


def test_one_worker_has_the_gpu_taint_and_the_other_is_spot() -> None:
    _, gpu, spot = kind_cluster.configuration(local_node_image=True)["nodes"]
    join = json.loads(gpu["kubeadmConfigPatches"][0])
    assert join["nodeRegistration"]["taints"][0]["key"] == "nvidia.com/gpu"
    assert spot["kubeadmConfigPatches"] == []
    assert [worker["labels"]["karpenter.sh/capacity-type"] for worker in (gpu, spot)] == ["on-demand", "spot"]
    assert gpu["labels"]["topology.kubernetes.io/zone"] != spot["labels"]["topology.kubernetes.io/zone"]


def test_a_published_node_keeps_its_own_network_and_versions() -> None:
    published = kind_cluster.configuration(local_node_image=False)
    assert "networking" not in published
    assert "kubeadmConfigPatches" not in published


@pytest.mark.parametrize(("state", "refused"), [("running", True), ("exited", False)])
def test_only_a_running_cluster_of_another_state_is_its_owners_to_remove(
    state: str, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\ncase "$*" in *status=running*) test {state} = running || exit 0;; esac\necho a\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    record = tmp_path / "cluster.json"
    record.write_text('{"key": "another"}')
    monkeypatch.setattr(kind_cluster, "RECORD", record)
    making = Making(tmp_path, "this", Commands(tmp_path / "log", {}), {})
    with pytest.raises(CannotMakeError, match="make down") if refused else nullcontext():
        assert not kind_cluster.is_made(making)


def test_a_node_has_a_route_to_every_other_nodes_pods() -> None:
    assert network.pod_routes(NODES, "b") == (
        "route replace 10.244.0.0/24 via 10.0.0.2\nroute replace 10.244.2.0/24 via 10.0.0.4\n"
    )


def test_settings_are_put_back_as_they_were_before_the_first_change(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    for name in ("kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "net/ipv4/ip_forward"):
        (proc / name).parent.mkdir(parents=True, exist_ok=True)
        (proc / name).write_text("0\n")
    host = Host(tmp_path / "state", proc)
    host.record()
    (proc / "kernel/panic").write_text("10\n")
    host.record()

    assert host.restore() == {"kernel.panic": "0"}
    assert (proc / "kernel/panic").read_text() == "0"
    (proc / "kernel/panic").write_text("5\n")
    assert host.restore() == {}


RULES = """\
*nat
:POSTROUTING ACCEPT [3:180]
:DOCKER - [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 192.168.9.0/24 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -i br-0123456789ab -o br-0123456789ab -j ACCEPT
-A FORWARD -i br-lan -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize(
    ("before", "policy"), [("", "ACCEPT"), (":FORWARD ACCEPT [0:0]\n", "ACCEPT"), (":FORWARD DROP [0:0]\n", "DROP")]
)
def test_dockers_rules_are_removed_and_all_others_stay(before: str, policy: str) -> None:
    assert without_docker(RULES, before) == (
        "*nat\n:POSTROUTING ACCEPT [3:180]\n-A POSTROUTING -s 192.168.9.0/24 -j MASQUERADE\nCOMMIT\n"
        f"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD {policy} [0:0]\n"
        "-A INPUT -p tcp --dport 22 -j ACCEPT\n-A FORWARD -i br-lan -j ACCEPT\nCOMMIT\n"
    )


def test_the_demo_prints_each_condition_once_until_it_changes() -> None:
    shown: dict[str, str] = {}
    ready = {"type": "Ready", "status": "False", "reason": "ModelFetching", "message": "10 of 269 MB"}
    assert changed_conditions(shown, [ready]) == ["Ready=False  ModelFetching: 10 of 269 MB"]
    assert changed_conditions(shown, [ready]) == []
    available = ready | {"type": "Available"}
    assert changed_conditions({}, [ready, available]) == ["Ready=False Available=False  ModelFetching: 10 of 269 MB"]
    assert changed_conditions(shown, [ready | {"status": "True", "reason": "Up", "message": ""}]) == [
        "Ready=True  Up: "
    ]


def test_the_demo_prints_where_kubectl_is_for_a_person_who_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = tmp_path / "kubectl"
    program.touch(mode=0o755)
    link_program("kubectl", program)
    ours = str(tmp_path / "modelyard/bin")

    first, *commands = next_commands(f"{ours}:/nowhere")
    assert first.startswith(f'export PATH="$PATH:{ours}"')
    assert next_commands(f"{ours}:{tmp_path}") == commands
    assert len(commands) == 3
