"""What is left of a reconcile that failed, was killed, or learned of things late: the same as if nothing had been."""

import asyncio
import itertools
import random

import pytest

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.controller.cluster.protocol import ApiError, ConflictError, NotFoundError, UnreachableError
from tests.support import factories
from tests.support.conditions import KEY
from tests.support.in_memory_cluster import CrashError, InMemoryCluster, unavailable
from tests.support.running_operator import RunningOperator

NAMES = [f"model-{number}" for number in range(10)]
TIMEOUT = UnreachableError(0, "Timeout", "no answer within 10 s")


def outcome(cluster: InMemoryCluster) -> list[Object]:
    """All objects without what differs from run to run."""
    found = []
    for kind in (kinds.INFERENCE_SERVICE, *kinds.CHILDREN):
        for body in cluster.see_all(kind):
            for field in ("resourceVersion", "uid", "generation"):
                body["metadata"].pop(field)
            for condition in (body.get("status") or {}).get("conditions", ()):
                condition.pop("lastTransitionTime")
            found.append(body)
    return found


def ten_services(cluster: InMemoryCluster) -> None:
    for name in NAMES:
        cluster.put(factories.service(name=name, uid=f"uid-of-{name}"))


def undisturbed() -> list[Object]:
    """The outcome for ten services when nothing goes wrong."""

    async def run() -> list[Object]:
        cluster = InMemoryCluster()
        operator = RunningOperator(cluster)
        ten_services(cluster)
        await operator.run()
        return outcome(cluster)

    return asyncio.run(run())


EXPECTED = undisturbed()
CALLS_OF_TEN_CREATIONS = 10 * (4 + 1 + 4 + 1 + 1)
"""Four looks at children and one at the namespace, four applies, a status and
an event for each."""


@pytest.mark.parametrize(
    "error", [unavailable(), ConflictError(409, "Conflict", ""), NotFoundError(404, "NotFound", "namespace"), TIMEOUT]
)
@pytest.mark.parametrize("verb", ["apply", "get", "patch_status"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_failed_call_is_tried_again_and_nothing_is_doubled(
    cluster: InMemoryCluster, verb: str, error: ApiError, *, after: bool
) -> None:
    operator = RunningOperator(cluster)
    ten_services(cluster)
    cluster.fail_next(verb, error, after=after)
    cluster.fail_next(verb, error, after=after)
    await operator.run(for_s=5)
    assert outcome(cluster) == EXPECTED


async def test_a_service_that_keeps_failing_is_tried_less_and_less_often(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster)
    cluster.fail_until_healed("apply", unavailable())
    cluster.put(factories.service())
    await operator.run(for_s=30)
    early = len(operator.failures)
    await operator.run(for_s=300)
    assert early <= 8
    assert len(operator.failures) - early <= 10
    cluster.heal()
    await operator.run(for_s=60)
    assert cluster.see(kinds.DEPLOYMENT, KEY) is not None


async def test_one_failing_service_holds_up_no_other(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster)
    cluster.fail_next("apply", unavailable())
    ten_services(cluster)
    await operator.run()
    assert len(cluster.see_all(kinds.DEPLOYMENT)) == 9


async def test_an_event_that_cannot_be_created_fails_nothing(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster)
    cluster.fail_until_healed("create_event", unavailable())
    ten_services(cluster)
    await operator.run()
    assert operator.failures == []
    assert outcome(cluster) == EXPECTED


@pytest.mark.parametrize("call", range(CALLS_OF_TEN_CREATIONS))
async def test_an_operator_killed_in_the_middle_of_ten_creations_converges(cluster: InMemoryCluster, call: int) -> None:
    operator = RunningOperator(cluster)
    ten_services(cluster)
    cluster.crash_at(call)
    with pytest.raises(CrashError):
        await operator.run()
    cluster.revive()
    restarted = RunningOperator(cluster)
    await restarted.resync()
    await restarted.run()
    assert outcome(cluster) == EXPECTED


async def test_an_operator_without_events_converges_by_its_resyncs(cluster: InMemoryCluster) -> None:
    deaf = RunningOperator(cluster, watches=False)
    ten_services(cluster)
    await deaf.resync()
    await deaf.run()
    assert outcome(cluster) == EXPECTED
    cluster.remove(kinds.SERVICE, Key("team-a", NAMES[0]))
    cluster.edit(kinds.DEPLOYMENT, Key("team-a", NAMES[1]), lambda body: body["spec"].update(replicas=9))
    await deaf.resync()
    await deaf.run()
    assert outcome(cluster) == EXPECTED


@pytest.mark.parametrize("seed", range(20))
async def test_the_order_in_which_events_arrive_does_not_change_the_outcome(
    cluster: InMemoryCluster, seed: int
) -> None:
    operator = RunningOperator(cluster, watches=False)
    shuffle = random.Random(seed).shuffle
    ten_services(cluster)
    for _ in itertools.count():
        order = list(range(len(operator.pending_events)))
        shuffle(order)
        if not operator.deliver(order):
            break
        await operator.run(for_s=1)
    assert outcome(cluster) == EXPECTED


async def test_a_service_that_changes_while_it_is_looked_at_gets_no_status_of_its_old_spec(
    cluster: InMemoryCluster,
) -> None:
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    operator.deliver()
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=3))
    await operator.run()
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    assert "status" not in service
    operator.deliver()
    await operator.run()
    service, deployment = cluster.see(kinds.INFERENCE_SERVICE, KEY), cluster.see(kinds.DEPLOYMENT, KEY)
    assert service is not None
    assert deployment is not None
    assert service["status"]["desiredReplicas"] == deployment["spec"]["replicas"] == 3
    assert operator.failures == []


async def test_ten_creations_take_as_many_calls_as_the_test_above_kills_at(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster)
    ten_services(cluster)
    await operator.run()
    assert len(cluster.calls) == CALLS_OF_TEN_CREATIONS
