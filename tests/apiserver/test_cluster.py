"""KubernetesCluster against a real API server: what each call does there, and what becomes of a failure."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from modelyard.api import kinds
from modelyard.api.service import Key, Object, key_of, parse
from modelyard.contract import names
from modelyard.controller.cluster import kubernetes_client as under_test
from modelyard.controller.cluster.fence import always_open
from modelyard.controller.cluster.kubernetes_client import KubernetesCluster
from modelyard.controller.cluster.login import LoginError, credentials, login
from modelyard.controller.cluster.protocol import (
    ApiError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    UnreachableError,
)
from modelyard.controller.reconcile.events import event
from modelyard.desired import desired
from modelyard.desired.resolve import resolve
from modelyard.observe.facts.field_managers import replicas_writer
from tests.support import factories
from tests.support.api_client import Client
from tests.support.apiserver import ALICE, ApiServer
from tests.support.inference_services import EVERY_CHILD, minimal
from tests.support.ports import free_port
from tests.support.running_operator import SETTINGS


@pytest.fixture
def calls() -> Counter[tuple[str, str]]:
    return Counter()


@pytest.fixture
async def cluster(apiserver: ApiServer, calls: Counter[tuple[str, str]]) -> AsyncIterator[KubernetesCluster]:
    configuration = await login(apiserver.kubeconfig())
    made = KubernetesCluster(configuration, lambda verb, outcome: calls.update([(verb, outcome)]), fence=always_open())
    yield made
    await made.close()


def a_service(namespace: str, name: str = "child", **fields: object) -> Object:
    """A Service as a child is rendered."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": {names.LABEL_APP_MANAGED_BY: names.APPLICATION}},
        "spec": {"selector": {"a": "b"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
        **fields,
    }


async def test_an_apply_creates_changes_and_drops_fields(cluster: KubernetesCluster, namespace: str) -> None:
    body = a_service(namespace)
    body["metadata"]["annotations"] = {"kept": "1", "dropped": "1"}
    created = await cluster.apply(body)
    body["metadata"]["annotations"] = {"kept": "2"}
    changed = await cluster.apply(body)
    assert changed["metadata"]["uid"] == created["metadata"]["uid"]
    assert changed["metadata"]["annotations"] == {"kept": "2"}
    assert changed["metadata"]["managedFields"][0]["manager"] == names.FIELD_MANAGER


async def test_an_apply_takes_its_fields_back_and_leaves_others_theirs(
    cluster: KubernetesCluster, admin: Client, namespace: str
) -> None:
    body = a_service(namespace)
    await cluster.apply(body)
    edited = admin.get(kinds.SERVICE, "child", namespace)
    edited["spec"]["selector"]["a"] = "theirs"
    edited["metadata"]["annotations"] = {"theirs": "yes"}
    admin.replace(kinds.SERVICE, edited)
    applied = await cluster.apply(body)
    assert applied["spec"]["selector"] == {"a": "b"}
    assert applied["metadata"]["annotations"] == {"theirs": "yes"}


async def test_what_an_apply_cannot_repair_is_overwritten(
    cluster: KubernetesCluster, admin: Client, namespace: str
) -> None:
    body = a_service(namespace)
    await cluster.apply(body)
    edited = admin.get(kinds.SERVICE, "child", namespace)
    edited["spec"]["ports"][0]["port"] = 8080
    admin.replace(kinds.SERVICE, edited)
    with pytest.raises(RejectedError, match="Duplicate value"):
        await cluster.apply(body)
    repaired = await cluster.overwrite(body)
    assert [port["port"] for port in repaired["spec"]["ports"]] == [80]


async def test_an_apply_carries_every_character(cluster: KubernetesCluster, namespace: str) -> None:
    """It is read as YAML, which takes less than JSON does."""
    every = "".join(
        map(chr, (*range(0x20, 0x180), *range(0x2020, 0x2030), 0xD7FF, 0xE000, 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF))
    )
    text = "\t\n\r" + every + "\U0001f600\U0010fffd"
    body = a_service(namespace)
    body["metadata"]["annotations"] = {"text": text}
    applied = await cluster.apply(body)
    assert applied["metadata"]["annotations"]["text"] == text


async def test_an_unchanged_apply_makes_no_new_version(cluster: KubernetesCluster, namespace: str) -> None:
    versions = [(await cluster.apply(a_service(namespace)))["metadata"]["resourceVersion"] for _ in range(2)]
    assert versions[0] == versions[1]


@pytest.mark.parametrize("kind", kinds.CHILDREN)
async def test_an_apply_for_an_object_of_another_uid_is_a_conflict(
    cluster: KubernetesCluster, namespace: str, kind: kinds.Kind
) -> None:
    service = parse(factories.service(namespace=namespace, **EVERY_CHILD))
    [body] = [child for child in desired(resolve(service, SETTINGS)) if kinds.of(child) == kind]
    del body["metadata"]["ownerReferences"]
    await cluster.apply(body)
    body["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(ConflictError):
        await cluster.apply(body)


async def test_an_apply_for_an_object_that_is_gone_does_not_create_it(
    cluster: KubernetesCluster, namespace: str
) -> None:
    body = a_service(namespace)
    body["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(ConflictError):
        await cluster.apply(body)
    assert await cluster.get(kinds.SERVICE, key_of(body)) is None


async def test_a_wrong_object_is_rejected_with_the_servers_words(cluster: KubernetesCluster, namespace: str) -> None:
    body = a_service(namespace)
    body["spec"]["ports"][0]["port"] = 70000
    with pytest.raises(RejectedError, match="between 1 and 65535"):
        await cluster.apply(body)


async def test_an_apply_into_no_namespace_is_not_found(cluster: KubernetesCluster) -> None:
    with pytest.raises(NotFoundError):
        await cluster.apply(a_service("no-such-namespace"))


async def test_an_apply_into_a_terminating_namespace_reports_it(
    cluster: KubernetesCluster, apiserver: ApiServer, namespace: str
) -> None:
    apiserver.kubectl("delete", "namespace", namespace, "--wait=false")
    with pytest.raises(ForbiddenError) as refused:
        await cluster.apply(a_service(namespace))
    assert "NamespaceTerminating" in refused.value.causes


async def test_a_missing_object_is_none(cluster: KubernetesCluster, namespace: str) -> None:
    assert await cluster.get(kinds.DEPLOYMENT, Key(namespace, "missing")) is None


async def test_only_the_version_that_was_seen_is_deleted(
    cluster: KubernetesCluster, admin: Client, namespace: str
) -> None:
    created = await cluster.apply(a_service(namespace))
    place, uid, version = Key(namespace, "child"), created["metadata"]["uid"], created["metadata"]["resourceVersion"]
    admin.apply(kinds.SERVICE, {"metadata": {"name": "child", "namespace": namespace, "labels": {"x": "y"}}}, "someone")
    with pytest.raises(ConflictError):
        await cluster.delete(kinds.SERVICE, place, uid, version)
    live = await cluster.get(kinds.SERVICE, place)
    assert live is not None
    with pytest.raises(ConflictError):
        await cluster.delete(kinds.SERVICE, place, "another-uid", live["metadata"]["resourceVersion"])
    await cluster.delete(kinds.SERVICE, place, uid, live["metadata"]["resourceVersion"])
    assert await cluster.get(kinds.SERVICE, place) is None
    await cluster.delete(kinds.SERVICE, place, uid, live["metadata"]["resourceVersion"])


async def test_an_annotation_is_set_on_exactly_that_object_and_nothing_else_is_touched(
    cluster: KubernetesCluster, namespace: str
) -> None:
    made = await cluster.apply(a_service(namespace))
    place = key_of(made)
    await cluster.annotate(kinds.SERVICE, place, made["metadata"]["uid"], {"example.com/a": "1"})
    await cluster.apply(a_service(namespace))
    kept = await cluster.get(kinds.SERVICE, place)
    assert kept is not None
    assert kept["metadata"]["annotations"] == {"example.com/a": "1"}
    assert kept["spec"] == made["spec"]
    with pytest.raises(ConflictError):
        await cluster.annotate(kinds.SERVICE, place, "another-uid", {"example.com/a": "2"})
    with pytest.raises(NotFoundError):
        await cluster.annotate(kinds.SERVICE, Key(namespace, "none"), "any", {"example.com/a": "2"})


async def test_a_scale_sets_replicas_alone_in_the_name_of_scaling(
    cluster: KubernetesCluster, admin: Client, namespace: str
) -> None:
    made = admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
    await cluster.scale(made, 3)
    scaled = admin.get(kinds.INFERENCE_SERVICE, made["metadata"]["name"], namespace)
    assert scaled["spec"] == made["spec"] | {"replicas": 3}
    assert replicas_writer(scaled) == names.SCALING_FIELD_MANAGER
    with pytest.raises(ConflictError):
        await cluster.scale(made, 4)
    with pytest.raises(NotFoundError):
        await cluster.scale(scaled | {"metadata": scaled["metadata"] | {"name": "none"}}, 4)


async def test_a_list_is_read_page_by_page_and_limited_by_its_selector(
    cluster: KubernetesCluster, namespace: str, monkeypatch: pytest.MonkeyPatch, calls: Counter[tuple[str, str]]
) -> None:
    monkeypatch.setattr(under_test, "PAGE_SIZE", 2)
    for number in range(5):
        await cluster.apply(a_service(namespace, f"child-{number}"))
    other = a_service(namespace, "other")
    other["metadata"]["labels"] = {}
    await cluster.apply(other)
    listed = await cluster.list(kinds.SERVICE, names.MANAGED_SELECTOR)
    here = [item for item in listed.items if item["metadata"]["namespace"] == namespace]
    assert [item["metadata"]["name"] for item in here] == [f"child-{number}" for number in range(5)]
    assert {(item["apiVersion"], item["kind"]) for item in here} == {("v1", "Service")}
    assert int(listed.resource_version) >= max(int(item["metadata"]["resourceVersion"]) for item in here)
    assert calls["list", "200"] >= 3


async def test_a_status_is_replaced_whole_and_nothing_else_is_touched(
    cluster: KubernetesCluster, admin: Client, namespace: str
) -> None:
    created = admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
    first = await cluster.patch_status(created, {"replicas": 1, "url": "http://x", "reason": "Creating"})
    assert first["status"]["reason"] == "Creating"
    second = await cluster.patch_status(first, {"replicas": 2, "url": "http://x"})
    assert (second["status"]["replicas"], "reason" in second["status"]) == (2, False)
    assert second["spec"] == created["spec"]
    assert second["metadata"]["generation"] == created["metadata"]["generation"]
    assert set(second["metadata"]) - {"managedFields"} == set(created["metadata"]) - {"managedFields"}


async def test_conditions_of_others_outlive_ours(cluster: KubernetesCluster, admin: Client, namespace: str) -> None:
    def condition(type_: str) -> Object:
        return {
            "type": type_,
            "status": "True",
            "reason": "Because",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }

    created = admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
    await cluster.patch_status(created, {"conditions": [condition("Ready"), condition("Stalled")]})
    theirs = admin.get(kinds.INFERENCE_SERVICE, created["metadata"]["name"], namespace)
    theirs["status"]["conditions"].append(condition("theirs.example.com/Audited"))
    audited = admin.replace(kinds.INFERENCE_SERVICE, theirs, "status")
    written = await cluster.patch_status(audited, {"conditions": [condition("Ready")]})
    assert [found["type"] for found in written["status"]["conditions"]] == ["Ready", "theirs.example.com/Audited"]


async def test_a_status_never_goes_to_another_object_of_that_name(
    cluster: KubernetesCluster, admin: Client, namespace: str
) -> None:
    first = admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
    admin.delete(kinds.INFERENCE_SERVICE, first["metadata"]["name"], namespace)
    with pytest.raises((NotFoundError, ConflictError)):
        await cluster.patch_status(first, {"replicas": 1})
    admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
    with pytest.raises(ConflictError):
        await cluster.patch_status(first, {"replicas": 1})


async def test_a_status_is_never_written_for_a_spec_that_changed_meanwhile(
    cluster: KubernetesCluster, admin: Client, namespace: str
) -> None:
    seen = admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
    admin.replace(kinds.INFERENCE_SERVICE, seen | {"spec": {**seen["spec"], "replicas": 3}})
    with pytest.raises(ConflictError):
        await cluster.patch_status(seen, {"replicas": 1})


async def test_an_event_is_shown_where_people_look_for_it(
    cluster: KubernetesCluster, admin: Client, apiserver: ApiServer, namespace: str
) -> None:
    created = admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
    posted = event(created, "Warning", "ModelNotFound", "no such model", instance="test", now=datetime.now(UTC))
    await cluster.create_event(posted)
    [found] = await cluster.list_events(namespace, f"involvedObject.uid={created['metadata']['uid']}")
    assert (found["reason"], found["message"], found["type"]) == ("ModelNotFound", "no such model", "Warning")
    assert await cluster.list_events(namespace, "involvedObject.uid=another-uid") == ()
    shown = apiserver.kubectl("describe", "infsvc", created["metadata"]["name"], "-n", namespace)
    assert "no such model" in shown


async def test_what_rbac_forbids_is_forbidden(apiserver: ApiServer, namespace: str) -> None:
    alice = KubernetesCluster(await login(apiserver.kubeconfig(ALICE)), lambda *_: None, fence=always_open())
    try:
        with pytest.raises(ForbiddenError, match=f'User "{ALICE}" cannot patch resource "services"'):
            await alice.apply(a_service(namespace))
        assert not await alice.may("patch", kinds.SERVICE)
    finally:
        await alice.close()


async def test_what_rbac_allows_is_allowed(cluster: KubernetesCluster) -> None:
    assert await cluster.may("patch", kinds.INFERENCE_SERVICE, "status")


async def test_calls_are_counted_by_verb_and_outcome(
    cluster: KubernetesCluster, namespace: str, calls: Counter[tuple[str, str]]
) -> None:
    await cluster.apply(a_service(namespace))
    await cluster.get(kinds.SERVICE, Key(namespace, "missing"))
    assert calls == {("apply", "200"): 1, ("get", "404"): 1}


async def test_an_api_server_that_does_not_answer_costs_no_more_than_the_time_limit(
    tmp_path: Path, calls: Counter[tuple[str, str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        deaf = await _at(silent.getsockname()[1], tmp_path, calls)
        try:
            with pytest.raises(UnreachableError, match=r"no answer within 0\.1 s"):
                await deaf._call("get", under_test.Request("GET", "/api/v1/services", timeout_s=0.1))
            assert calls == {("get", "Timeout"): 1}
        finally:
            await deaf.close()


async def test_an_api_server_that_is_not_there_is_unreachable(tmp_path: Path, calls: Counter[tuple[str, str]]) -> None:
    unreachable = await _at(free_port(), tmp_path, calls)
    try:
        with pytest.raises(UnreachableError):
            await unreachable.get(kinds.SERVICE, Key("a", "b"))
    finally:
        await unreachable.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\n<html/>\r\n", ApiError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops", UnreachableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{}", UnreachableError),
        (b"garbage\r\n\r\n", UnreachableError),
    ],
)
async def test_whatever_stands_between_us_and_the_api_server_ends_in_an_api_error(
    tmp_path: Path, answer: bytes, error: type[ApiError], calls: Counter[tuple[str, str]]
) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    odd = await _at(server.sockets[0].getsockname()[1], tmp_path, calls)
    try:
        with pytest.raises(error):
            await odd.get(kinds.SERVICE, Key("a", "b"))
    finally:
        await odd.close()
        server.close()


async def test_other_clients_get_the_same_credentials(apiserver: ApiServer) -> None:
    configuration = await login(apiserver.kubeconfig(ALICE))
    found = await credentials(configuration)
    assert (found.server, found.token) == (apiserver.url, apiserver.tokens[ALICE])
    assert found.ca_path == str(apiserver.certificate)


async def test_without_credentials_the_login_explains_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="KUBECONFIG"):
        await login(tmp_path / "missing")


async def _at(port: int, folder: Path, calls: Counter[tuple[str, str]]) -> KubernetesCluster:
    """A cluster that talks to whatever listens there."""
    named = {"name": "test"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [named | {"cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [named | {"user": {}}],
        "contexts": [named | {"context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return KubernetesCluster(
        await login(path), lambda verb, outcome: calls.update([(verb, outcome)]), fence=always_open()
    )
