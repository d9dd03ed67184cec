"""How the operator starts in a cluster that is not as it should be."""

import pytest

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.settings import Settings
from modelyard.controller import app
from modelyard.controller.cluster.fence import always_open
from modelyard.controller.cluster.login import Credentials
from modelyard.controller.cluster.protocol import ApiError, Cluster, NotFoundError, RejectedError, UnreachableError
from modelyard.controller.metrics import Metrics
from modelyard.integrations.signals.pod_http import PodClient
from tests.support import factories
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import SETTINGS


async def no_login() -> Credentials:
    raise AssertionError("these tests have no watches")


def operator(cluster: Cluster, settings: Settings = SETTINGS, home: str = "modelyard-system") -> app.Operator:
    return app.Operator(
        settings, cluster, PodClient(), Metrics(), always_open(), namespace=home, identity="me", login=no_login
    )


async def test_without_its_crd_the_error_explains_how_to_install_it() -> None:
    cluster = InMemoryCluster()
    cluster.fail_next("list", NotFoundError(404, "NotFound", "no such resource"), kinds.INFERENCE_SERVICE)
    with pytest.raises(app.StartError, match=r"kubectl apply --server-side -f crds/"):
        await operator(cluster)._sync()


async def test_it_starts_without_a_kind_that_clusters_may_lack(widgets: Kind) -> None:
    cluster = InMemoryCluster()
    cluster.lacks.add(widgets)
    cluster.put(factories.service())
    started = operator(cluster)
    await started._sync()
    assert len(started._services()) == 1


@pytest.mark.parametrize(
    "trouble",
    [UnreachableError(0, "ClientConnectorError", "refused"), ApiError(500, "Error", "etcd"), ApiError(429, "Busy", "")],
)
async def test_it_waits_for_an_api_server_that_is_in_trouble(
    monkeypatch: pytest.MonkeyPatch, trouble: ApiError
) -> None:
    monkeypatch.setattr(app, "PASSING_WAIT_S", 0)
    cluster = InMemoryCluster()
    cluster.put(factories.service())
    for _ in range(3):
        cluster.fail_next("may", trouble)
    started = operator(cluster)
    await started._sync()
    assert len(started._services()) == 1


async def test_it_does_not_wait_where_waiting_cannot_help() -> None:
    cluster = InMemoryCluster()
    cluster.fail_next("may", RejectedError(400, "BadRequest", "what is this?"))
    with pytest.raises(RejectedError):
        await operator(cluster)._sync()


async def test_two_installations_have_each_their_own_services() -> None:
    cluster = InMemoryCluster()
    for namespace in ("team-a", "team-b"):
        cluster.put(factories.service(namespace=namespace, uid=f"uid-in-{namespace}"))
    limited = operator(cluster, SETTINGS.model_copy(update={"namespaces": ("team-a",)}), "modelyard-team-a")
    everywhere = operator(cluster)
    await limited._sync()
    await everywhere._sync()
    found = [[body["metadata"]["namespace"] for body in each._services()] for each in (limited, everywhere)]
    assert found == [["team-a"], ["team-b"]]


async def test_an_installation_for_a_claimed_namespace_does_not_start() -> None:
    cluster = InMemoryCluster()
    settings = SETTINGS.model_copy(update={"namespaces": ("team-a",)})
    await operator(cluster, settings, "modelyard-team-a")._sync()
    with pytest.raises(app.StartError, match="claimed by the installation modelyard-team-a"):
        await operator(cluster, settings, "another")._sync()
