"""A child of a kind that the cluster may lack: applied where the kind is, left out where it is not."""

import pytest

from modelyard import desired as package
from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Object
from modelyard.desired import metadata
from modelyard.desired.resolved import Resolved
from tests.support import factories
from tests.support.conditions import KEY
from tests.support.in_memory_cluster import Call, InMemoryCluster
from tests.support.optional_kind import WIDGETS, bring
from tests.support.running_operator import RunningOperator


def widget(resolved: Resolved) -> list[Object]:
    """A builder, as desired/ has one per kind."""
    return [metadata.child(WIDGETS, resolved.lead, content={"spec": {"size": 1}})]


@pytest.fixture(autouse=True)
def widgets(monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.setattr(package, "CHILDREN", (*package.CHILDREN, widget))
    return bring(monkeypatch)


def calls_of_widgets(cluster: InMemoryCluster) -> list[Call]:
    return [call for call in cluster.calls if call.kind == WIDGETS and call.verb != "list"]


async def test_a_service_has_its_other_children_where_the_cluster_lacks_a_kind(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.lacks.add(WIDGETS)
    cluster.put(factories.service())
    await operator.resync()
    await operator.run()
    assert cluster.see(kinds.DEPLOYMENT, KEY) is not None
    assert calls_of_widgets(cluster) == []
    assert operator.failures == []


async def test_the_child_comes_once_the_kind_is_there_and_nothing_else_is_written(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.lacks.add(WIDGETS)
    cluster.put(factories.service())
    await operator.resync()
    await operator.run()
    cluster.lacks.clear()
    cluster.calls.clear()
    await operator.resync()
    await operator.run()
    assert [call.kind for call in cluster.writes] == [WIDGETS]
    assert cluster.see(WIDGETS, KEY) is not None


async def test_a_kind_that_goes_takes_the_child_and_leaves_the_service_alone(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.resync()
    await operator.run()
    assert cluster.see(WIDGETS, KEY) is not None
    cluster.lacks.add(WIDGETS)
    cluster.calls.clear()
    await operator.resync()
    await operator.run()
    assert calls_of_widgets(cluster) == []
    assert cluster.writes == []
    assert operator.failures == []
