"""How the operator starts, ends, and is killed: as a process, with its own role, on a real API server."""

import signal
from pathlib import Path

import pytest

from modelyard import kinds
from tests.support.api_client import Client
from tests.support.apiserver import ALICE, OPERATOR, ApiServer
from tests.support.eventually import eventually
from tests.support.inference_services import minimal, with_every_child
from tests.support.program import SETTINGS, allow, started


@pytest.fixture(scope="module", autouse=True)
def role(apiserver: ApiServer) -> None:
    """What deploy/ allows the operator."""
    allow(apiserver)


def test_without_its_role_it_says_what_it_may_not_and_ends(apiserver: ApiServer, tmp_path: Path) -> None:
    program = started(apiserver, ALICE, tmp_path)
    with program.process:
        assert program.process.ends() == 1
        [line] = program.log()
    assert "may not" in line["message"]
    assert "patch inferenceservices/status" in line["message"]
    assert "Apply deploy/" in line["message"]


def test_with_wrong_settings_it_names_the_key_and_ends(apiserver: ApiServer, tmp_path: Path) -> None:
    program = started(apiserver, OPERATOR, tmp_path, SETTINGS + "workerz: 3\n")
    with program.process:
        assert program.process.ends() == 1
        assert "workerz" in program.log()[-1]["message"]


def test_an_operator_that_is_killed_in_the_middle_of_ten_creations_is_followed_by_one_that_finishes(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    for number in range(10):
        admin.create(kinds.INFERENCE_SERVICE, with_every_child(namespace, f"model-{number}"))
    first = started(apiserver, OPERATOR, tmp_path, SETTINGS + "workers: 1\n")
    with first.process:
        eventually(lambda: len(admin.list(kinds.DEPLOYMENT, namespace)) >= 3, every_s=0.001)
        first.process.kill()
    assert len(admin.list(kinds.DEPLOYMENT, namespace)) < 10, "it was killed too late to be in the middle"
    second = started(apiserver, OPERATOR, tmp_path)
    with second.process:
        eventually(lambda: len(admin.list(kinds.DEPLOYMENT, namespace)) == 10)
        eventually(lambda: all("status" in body for body in admin.list(kinds.INFERENCE_SERVICE, namespace)))
    for kind in kinds.CHILDREN:
        assert sorted(body["metadata"]["name"] for body in admin.list(kind, namespace)) == [
            f"model-{number}" for number in range(10)
        ]


def test_told_to_stop_it_ends_by_itself(apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path) -> None:
    program = started(apiserver, OPERATOR, tmp_path)
    with program.process:
        eventually(program.is_ready, within_s=60)
        admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
        eventually(lambda: "status" in admin.get(kinds.INFERENCE_SERVICE, "smollm", namespace))
        program.process.signal(signal.SIGTERM)
        assert program.process.ends() == 0
        assert program.log()[-1]["message"] == "stopped"
