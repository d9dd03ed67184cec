"""What becomes of services when the way to the API server is bad: nothing is lost, and nothing is made twice."""

import signal
from collections.abc import Iterator

import pytest

from modelyard.api import kinds
from tests.support.api_client import Client
from tests.support.apiserver import OPERATOR, ApiServer
from tests.support.audit import children_made, writes
from tests.support.eventually import eventually
from tests.support.inference_services import child_name, with_every_child
from tests.support.program import Program, allow, started
from tests.support.wire import GONE, Answer, Wire, is_apply, is_watch, wire

PATIENCE_S = 60.0
NAMES = [f"model-{number}" for number in range(5)]
MADE_ONCE = sorted((kind.plural, child_name(kind, name)) for kind in kinds.CHILDREN for name in NAMES)
THROTTLED = Answer(429, {"kind": "Status", "message": "too many requests"}, {"Retry-After": "2"})
FAILED = Answer(500, {"kind": "Status", "message": "etcdserver: leader changed"})

EVERYWHERE = tuple(kind for kind in kinds.WATCHED if not kind.optional)
"""The kinds that every cluster has, and so are watched."""


@pytest.fixture(scope="module")
def way(apiserver: ApiServer) -> Iterator[Wire]:
    with wire(apiserver) as made:
        yield made


@pytest.fixture(scope="module")
def running(apiserver: ApiServer, way: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    allow(apiserver)
    program = started(apiserver, OPERATOR, tmp_path_factory.mktemp("operator"), url=way.url)
    with program.process:
        eventually(program.is_ready, within_s=PATIENCE_S)
        eventually(lambda: "modelyard_leader 1.0" in program.answers("/metrics")[1], within_s=PATIENCE_S)
        eventually(lambda: way.count(is_watch) >= len(EVERYWHERE))
        yield program
        program.process.signal(signal.SIGTERM)
        assert program.process.ends() == 0


@pytest.fixture
def operator(running: Program, way: Wire) -> Iterator[Program]:
    """An operator that fares well, for which the way is good again afterwards."""
    yield running
    way.heal()


def five_services(admin: Client, namespace: str) -> None:
    for name in NAMES:
        admin.create(kinds.INFERENCE_SERVICE, with_every_child(namespace, name))


def all_served(apiserver: ApiServer, admin: Client, namespace: str) -> None:
    """Wait until all have children and a status, none made twice."""

    def is_reported() -> bool:
        found = admin.list(kinds.INFERENCE_SERVICE, namespace)
        return all("status" in body for body in found) and len(admin.list(kinds.DEPLOYMENT, namespace)) == len(NAMES)

    eventually(is_reported, within_s=PATIENCE_S)
    assert children_made(apiserver, namespace) == MADE_ONCE


def terms(program: Program) -> int:
    """How often the program became the leader so far."""
    return sum(line["message"] == "leading" for line in program.log())


@pytest.mark.usefixtures("operator")
def test_what_happens_while_every_watch_is_cut_is_caught_up_with(
    apiserver: ApiServer, admin: Client, namespace: str, way: Wire
) -> None:
    way.answer(is_watch, FAILED, times=len(EVERYWHERE))
    assert way.cut(is_watch) >= len(EVERYWHERE)
    five_services(admin, namespace)
    all_served(apiserver, admin, namespace)


@pytest.mark.usefixtures("operator")
def test_a_watch_whose_version_is_gone_begins_anew(
    apiserver: ApiServer, admin: Client, namespace: str, way: Wire
) -> None:
    way.answer(is_watch, Answer(200, GONE), times=len(EVERYWHERE))
    way.cut(is_watch)
    five_services(admin, namespace)
    all_served(apiserver, admin, namespace)


@pytest.mark.usefixtures("operator")
def test_a_request_is_retried_no_sooner_than_the_server_allows(
    apiserver: ApiServer, admin: Client, namespace: str, way: Wire
) -> None:
    before = len(way.seen)
    path = f"/namespaces/{namespace}/services/{NAMES[0]}?"
    way.answer(lambda request: is_apply(request) and path in request, THROTTLED)
    five_services(admin, namespace)
    all_served(apiserver, admin, namespace)
    first, second = (seen.at_s for seen in way.seen[before:] if is_apply(seen.request) and path in seen.request)
    assert second - first >= 2


@pytest.mark.usefixtures("operator")
def test_an_api_server_that_fails_now_and_then_costs_time_only(
    apiserver: ApiServer, admin: Client, namespace: str, way: Wire
) -> None:
    way.answer(lambda request: is_apply(request) and "/services/" in request, FAILED, times=len(NAMES))
    way.answer(lambda request: is_apply(request) and request.partition("?")[0].endswith("/status"), FAILED, times=2)
    five_services(admin, namespace)
    all_served(apiserver, admin, namespace)


def test_a_slow_api_server_costs_time_only(
    apiserver: ApiServer, admin: Client, namespace: str, way: Wire, operator: Program
) -> None:
    before = terms(operator)
    way.slow_down(lambda _: True, delay_s=0.7)
    five_services(admin, namespace)
    all_served(apiserver, admin, namespace)
    assert terms(operator) == before


def test_one_that_answers_nothing_ends_the_leadership_until_it_answers_again(
    apiserver: ApiServer, admin: Client, namespace: str, way: Wire, operator: Program
) -> None:
    before = terms(operator)
    with way.half_dead():
        five_services(admin, namespace)
        eventually(lambda: operator.log()[-1]["message"] == "no longer leading", within_s=PATIENCE_S)
        assert operator.answers("/healthz")[0] == 200
    all_served(apiserver, admin, namespace)
    assert terms(operator) == before + 1


@pytest.mark.usefixtures("operator")
def test_nothing_is_written_twice_on_the_way(apiserver: ApiServer, admin: Client, namespace: str) -> None:
    """The measure of the others: undisturbed, each child takes one write."""
    five_services(admin, namespace)
    all_served(apiserver, admin, namespace)
    applied = [write for write in writes(apiserver, namespace) if (write.resource, write.name) in MADE_ONCE]
    assert len(applied) == len(MADE_ONCE)
