"""The API server that the tests of this folder stand on: who may do what, and what it reports when it cannot start."""

from pathlib import Path

import pytest

from modelyard.api.kinds import INFERENCE_SERVICE
from tests.support import apiserver as support
from tests.support.api_client import Client, RefusedError
from tests.support.apiserver import ALICE, BOB, OPERATOR, ApiServer
from tests.support.eventually import eventually
from tests.support.inference_services import minimal


@pytest.mark.parametrize("user", [ALICE, BOB, OPERATOR])
def test_a_user_without_a_role_may_do_nothing(apiserver: ApiServer, shared_namespace: str, user: str) -> None:
    with pytest.raises(RefusedError, match=f'User "{user}" cannot create resource "inferenceservices"') as refused:
        apiserver.client(user).create(INFERENCE_SERVICE, minimal(shared_namespace))
    assert refused.value.code == 403


def test_a_role_that_is_bound_to_a_user_admits_only_that_user(apiserver: ApiServer, namespace: str) -> None:
    apiserver.kubectl("create", "role", "reader", "--verb=get,list", "--resource=infsvc", "-n", namespace)
    apiserver.kubectl("create", "rolebinding", "reader", "--role=reader", f"--user={ALICE}", "-n", namespace)
    eventually(lambda: apiserver.may(ALICE, "list", INFERENCE_SERVICE, namespace))
    assert apiserver.client(ALICE).list(INFERENCE_SERVICE, namespace) == []
    with pytest.raises(RefusedError, match="cannot list resource"):
        apiserver.client(BOB).list(INFERENCE_SERVICE, namespace)


def test_a_wrong_token_is_unauthorized(admin: Client) -> None:
    with pytest.raises(RefusedError) as refused:
        Client(admin.url, "guessed", admin.trust).list(INFERENCE_SERVICE)
    assert refused.value.code == 401


def test_pod_security_is_enforced_where_a_namespace_requires_it(apiserver: ApiServer) -> None:
    namespace = apiserver.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
    with pytest.raises(AssertionError, match='violates PodSecurity "restricted'):
        apiserver.kubectl("run", "x", "--image=x", "-n", namespace)


def test_a_folder_without_the_programs_is_named_with_the_command_that_makes_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODELYARD_BINARIES", str(tmp_path))
    with pytest.raises(RuntimeError, match=f"{tmp_path} holds no etcd, kube-apiserver, kubectl.*e2e.cluster binaries"):
        support.binaries()


def test_a_server_that_exits_at_once_is_reported_with_its_last_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in support.PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\necho no room for a server; exit 3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("MODELYARD_BINARIES", str(tmp_path))
    with (
        pytest.raises(RuntimeError, match="kube-apiserver ended with code 3:\nno room for a server"),
        support.running(tmp_path),
    ):
        pass
