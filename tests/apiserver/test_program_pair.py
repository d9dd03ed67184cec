"""Two programs with one Lease: who writes, by the audit log of the API server."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.api import kinds
from modelyard.contract import names
from tests.support.api_client import Client
from tests.support.apiserver import OPERATOR, ApiServer
from tests.support.audit import children_made, writes
from tests.support.eventually import eventually
from tests.support.inference_services import child_name, with_every_child
from tests.support.program import HOME, SETTINGS, Program, allow, started
from tests.support.wire import Wire, is_apply, is_watch, wire

NAMES = [f"model-{number}" for number in range(10)]
MADE_ONCE = sorted((kind.plural, child_name(kind, name)) for kind in kinds.CHILDREN for name in NAMES)


@dataclass
class Pair:
    """The program that leads, by way of ``way``, and its standby."""

    leader: Program
    standby: Program
    way: Wire


@pytest.fixture
def pair(apiserver: ApiServer, tmp_path: Path) -> Iterator[Pair]:
    allow(apiserver)
    with ExitStack() as open_:
        way = open_.enter_context(wire(apiserver))
        for folder in ("first", "second"):
            (tmp_path / folder).mkdir()
        one_at_a_time = SETTINGS + "workers: 1\n"
        leader = started(apiserver, OPERATOR, tmp_path / "first", one_at_a_time, url=way.url)
        open_.enter_context(leader.process)
        eventually(lambda: is_leading(leader), within_s=60)
        standby = started(apiserver, OPERATOR, tmp_path / "second", is_alone=False)
        open_.enter_context(standby.process)
        eventually(lambda: leader.is_ready() and standby.is_ready(), within_s=60)
        yield Pair(leader, standby, way)


def is_leading(program: Program) -> bool:
    return "modelyard_leader 1.0" in program.answers("/metrics")[1]


def holder(admin: Client) -> str:
    return str(admin.get(kinds.LEASE, names.LEADER_LEASE, HOME)["spec"].get("holderIdentity", ""))


def create(admin: Client, namespace: str, service_names: list[str]) -> None:
    for name in service_names:
        admin.create(kinds.INFERENCE_SERVICE, with_every_child(namespace, name))


def scale(admin: Client, namespace: str, service_names: list[str]) -> None:
    """Request more replicas, and wait until the Deployments have them."""
    for name in service_names:
        service = admin.get(kinds.INFERENCE_SERVICE, name, namespace)
        service["spec"]["replicas"] = 3
        admin.replace(kinds.INFERENCE_SERVICE, service)

    def scaled() -> bool:
        found = {body["metadata"]["name"]: body["spec"]["replicas"] for body in admin.list(kinds.DEPLOYMENT, namespace)}
        return all(found[name] == 3 for name in service_names)

    eventually(scaled, within_s=60)


def all_served(admin: Client, namespace: str) -> None:
    def is_reported() -> bool:
        found = admin.list(kinds.INFERENCE_SERVICE, namespace)
        return len(found) == len(NAMES) and all("status" in body for body in found)

    eventually(is_reported, within_s=60)


def test_a_leader_that_is_killed_in_the_middle_of_ten_creations_is_followed_in_time(
    apiserver: ApiServer, admin: Client, namespace: str, pair: Pair
) -> None:
    first = holder(admin)
    create(admin, namespace, NAMES)
    eventually(lambda: len(admin.list(kinds.DEPLOYMENT, namespace)) >= 3, every_s=0.001)
    pair.leader.process.kill()
    assert len(admin.list(kinds.DEPLOYMENT, namespace)) < len(NAMES), "it was killed too late to be in the middle"
    eventually(lambda: is_leading(pair.standby), within_s=60, every_s=0.1)
    all_served(admin, namespace)
    assert children_made(apiserver, namespace) == MADE_ONCE
    assert {write.process for write in writes(apiserver, namespace)} == {first, holder(admin)}


def test_a_leader_that_freezes_over_a_write_that_hangs_writes_no_more_once_there_is_another(
    apiserver: ApiServer, admin: Client, namespace: str, pair: Pair
) -> None:
    first = holder(admin)
    hanging = f"/namespaces/{namespace}/deployments/"
    with pair.way.holding(lambda request: is_apply(request) and hanging in request):
        create(admin, namespace, NAMES[:5])
        eventually(lambda: pair.way.count(lambda request: is_apply(request) and hanging in request) == 1)
        pair.leader.process.signal(signal.SIGSTOP)
        eventually(lambda: is_leading(pair.standby), within_s=60, every_s=0.1)
        second = holder(admin)
        create(admin, namespace, NAMES[5:])
        all_served(admin, namespace)
        pair.way.mute(is_watch)  # it wakes with what it knew, and long before it learns who has the Lease
        pair.way.slow_down(lambda request: "/leases/" in request, delay_s=1.5)
        scale(admin, namespace, NAMES[1:])
        followed_at = next(write.at for write in writes(apiserver, namespace) if write.process == second)
    pair.leader.process.signal(signal.SIGCONT)
    eventually(lambda: pair.leader.log()[-1]["message"] == "no longer leading")

    late = [write for write in writes(apiserver, namespace) if write.process == first and write.at > followed_at]
    assert [(write.resource, write.has_created) for write in late] in ([], [("deployments", False)]), (
        "only the one that hung on the way may come late, to what is there already"
    )
    assert children_made(apiserver, namespace) == MADE_ONCE
    generations = [body["metadata"]["generation"] for body in admin.list(kinds.DEPLOYMENT, namespace)]
    assert generations == [1, *(2 for _ in NAMES[1:])], "only its user changed a Deployment, and once"
    assert holder(admin) == second


def test_a_leader_that_is_stopped_gives_way_at_once(
    apiserver: ApiServer, admin: Client, namespace: str, pair: Pair
) -> None:
    first = holder(admin)
    pair.leader.process.signal(signal.SIGTERM)
    assert pair.leader.process.ends() == 0
    assert holder(admin) != first, "it gave the Lease back"
    eventually(lambda: is_leading(pair.standby), within_s=60, every_s=0.1)
    create(admin, namespace, NAMES)
    all_served(admin, namespace)
    assert children_made(apiserver, namespace) == MADE_ONCE
    assert first not in {write.process for write in writes(apiserver, namespace)}
