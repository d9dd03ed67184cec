"""How the operator starts, ends, and is killed: as a process, with its own role, on a real API server."""

import signal
from pathlib import Path

import pytest

from modelyard.api import kinds
from modelyard.contract import names
from tests.support.api_client import Client
from tests.support.apiserver import ALICE, LIMITED, OPERATOR, ApiServer
from tests.support.eventually import eventually
from tests.support.inference_services import minimal
from tests.support.program import SETTINGS, Program, allow, allow_in, started


@pytest.fixture(scope="module", autouse=True)
def role(apiserver: ApiServer) -> None:
    """What deploy/ allows the operator."""
    allow(apiserver)


def test_without_its_role_it_reports_what_it_may_not_do_and_exits(apiserver: ApiServer, tmp_path: Path) -> None:
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


def test_one_for_some_namespaces_claims_them_and_one_for_the_cluster_leaves_them_alone(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    home = allow_in(apiserver, namespace)
    others = apiserver.namespace()
    limits = f"namespaces: [{namespace}]\nclaim_settle_s: 1\n"
    for folder in ("limited", "everywhere", "rival"):
        (tmp_path / folder).mkdir()
    limited = started(apiserver, LIMITED, tmp_path / "limited", SETTINGS + limits, home=home)
    with limited.process:
        eventually(limited.is_ready, within_s=60)
        everywhere = started(apiserver, OPERATOR, tmp_path / "everywhere")
        with everywhere.process:
            eventually(everywhere.is_ready, within_s=60)
            for place in (namespace, others):
                admin.create(kinds.INFERENCE_SERVICE, minimal(place))
            eventually(lambda: all(is_reported(admin, place) for place in (namespace, others)))
            # A program logs what it wrote after the API server shows it.
            eventually(lambda: all(services(program) for program in (limited, everywhere)))
            assert (services(limited), services(everywhere)) == ({f"{namespace}/smollm"}, {f"{others}/smollm"})

            limited.process.signal(signal.SIGTERM)
            assert limited.process.ends() == 0
            admin.delete(kinds.DEPLOYMENT, "smollm", namespace)
            admin.delete(kinds.DEPLOYMENT, "smollm", others)
            eventually(lambda: len(admin.list(kinds.DEPLOYMENT, others)) == 1)
            assert admin.list(kinds.DEPLOYMENT, namespace) == [], "the claim holds while the claimant is down"

            rival = started(
                apiserver, LIMITED, tmp_path / "rival", SETTINGS + limits + "installation: rival\n", home=home
            )
            with rival.process:
                assert rival.process.ends() == 1
                assert f"namespace {namespace} is claimed by the installation {home}" in rival.log()[-1]["message"]

            admin.delete(kinds.LEASE, names.CLAIM_LEASE, namespace)
            eventually(lambda: len(admin.list(kinds.DEPLOYMENT, namespace)) == 1)
    assert [line for line in limited.log() if line["level"] != "INFO"] == []


def is_reported(admin: Client, namespace: str) -> bool:
    return "status" in admin.get(kinds.INFERENCE_SERVICE, "smollm", namespace)


def services(program: Program) -> set[str]:
    """Those that the program wrote something of, by its log."""
    return {line["service"] for line in program.log() if line["message"] == "status changed"}


def test_on_a_stop_signal_it_exits_by_itself(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    program = started(apiserver, OPERATOR, tmp_path)
    with program.process:
        eventually(program.is_ready, within_s=60)
        admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
        eventually(lambda: "status" in admin.get(kinds.INFERENCE_SERVICE, "smollm", namespace))
        program.process.signal(signal.SIGTERM)
        assert program.process.ends() == 0
        assert program.log()[-1]["message"] == "stopped"
