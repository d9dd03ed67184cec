"""A cluster in memory, and an operator that works on it when a test lets it."""

import pytest

from tests.support import factories
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.inference_services import EVERY_CHILD
from tests.support.running_operator import RunningOperator
from tests.support.scripted_decisions import ScriptedDecisions


@pytest.fixture
def cluster() -> InMemoryCluster:
    return InMemoryCluster()


@pytest.fixture
def operator(cluster: InMemoryCluster) -> RunningOperator:
    return RunningOperator(cluster)


@pytest.fixture
def decide() -> ScriptedDecisions:
    return ScriptedDecisions()


@pytest.fixture
async def serving(cluster: InMemoryCluster, operator: RunningOperator) -> RunningOperator:
    """The operator once a service has every child and its status, with the record of calls emptied."""
    cluster.put(factories.service(**EVERY_CHILD))
    await operator.run()
    cluster.calls.clear()
    return operator
