"""What others write on children that we don't render: a mesh, a user, a restart by hand. It is left alone."""

from collections.abc import Callable

import pytest

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from tests.support import factories
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator

KEY = Key("team-a", "smollm")


def annotated_by_a_mesh(body: Object) -> None:
    body["metadata"]["annotations"]["mesh.example/injected"] = "true"


def labelled_by_a_user(body: Object) -> None:
    body["metadata"]["labels"]["team.example/cost-center"] = "42"


def template_annotated_by_a_restart(body: Object) -> None:
    body["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("change", [annotated_by_a_mesh, labelled_by_a_user, template_annotated_by_a_restart])
async def test_what_others_add_to_a_child_stays(change: Callable[[Object], None]) -> None:
    cluster = InMemoryCluster()
    operator = RunningOperator(cluster)
    cluster.put(factories.service())
    await operator.run()
    cluster.calls.clear()
    cluster.edit(kinds.DEPLOYMENT, KEY, change)
    changed = cluster.see(kinds.DEPLOYMENT, KEY)
    await operator.run(for_s=1)
    assert cluster.see(kinds.DEPLOYMENT, KEY) == changed
    assert cluster.writes == []
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=2))
    await operator.run(for_s=1)
    after = cluster.see(kinds.DEPLOYMENT, KEY)
    assert after is not None
    assert changed is not None
    assert after["metadata"]["annotations"].items() >= (changed["metadata"]["annotations"] | _rendered(after)).items()
    assert after["metadata"]["labels"] == changed["metadata"]["labels"]
    assert after["spec"]["template"] == changed["spec"]["template"]


def _rendered(body: Object) -> dict[str, str]:
    return {names.ANNOTATION_RENDERED: body["metadata"]["annotations"][names.ANNOTATION_RENDERED]}
