"""The agent as the process that its container runs."""

import os
import signal
import sys
from pathlib import Path

from modelyard.contract import names
from tests.node.surroundings import Surroundings
from tests.support.background_process import REPOSITORY, BackgroundProcess
from tests.support.eventually import eventually


def environment(around: Surroundings, folder: Path) -> dict[str, str]:
    """Of a node whose API server is unreachable."""
    (folder / "token").write_text("any")
    (folder / "ca.crt").write_text("")
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY / "operator"),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": "1",
        names.ENV_NODE_NAME: "worker",
        names.ENV_NODE_CACHE_PATH: str(around.cache),
        names.ENV_NODE_KUBELET_FOLDER: str(around.kubelet),
        names.ENV_NODE_SERVICE_ACCOUNT_FOLDER: str(folder),
        names.ENV_NODE_PORT: str(around.port),
    }


def test_it_registers_without_an_api_server_and_exits_cleanly_on_a_signal(around: Surroundings, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelyard.node"]
    with BackgroundProcess(command, environment(around, tmp_path)) as agent:
        registry = around.kubelet / f"plugins_registry/{names.CSI_DRIVER}-reg.sock"
        eventually(registry.is_socket)
        agent.logs("GET /api/v1/pods")
        agent.signal(signal.SIGTERM)
        assert agent.ends() == 0


def test_one_that_was_killed_is_followed_by_one_that_takes_its_sockets(around: Surroundings, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelyard.node"]
    with BackgroundProcess(command, environment(around, tmp_path)) as agent:
        eventually((around.kubelet / f"plugins_registry/{names.CSI_DRIVER}-reg.sock").is_socket)
        agent.kill()
    around.started()
    assert around.published().layout.agent_socket.is_socket()


def test_a_wrong_value_is_named_and_ends_it(around: Surroundings, tmp_path: Path) -> None:
    wrong = environment(around, tmp_path) | {names.ENV_NODE_BUDGET: "much"}
    with BackgroundProcess([sys.executable, "-m", "modelyard.node"], wrong) as agent:
        assert agent.ends() == 1
        assert f"the environment variable {names.ENV_NODE_BUDGET} is invalid: 'much' is not a size" in agent.output
