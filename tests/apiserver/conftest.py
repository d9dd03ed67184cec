"""One real API server for the whole run, and a namespace of its own for each test that requests one."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from modelyard.controller.cluster.fence import always_open
from modelyard.controller.cluster.kubernetes_client import KubernetesCluster
from modelyard.controller.cluster.login import login
from tests.support import apiserver as support
from tests.support.api_client import Client
from tests.support.apiserver import ApiServer


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    """A ready API server that serves our kinds."""
    with TemporaryDirectory(prefix="modelyard-apiserver-") as folder, support.running(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def admin(apiserver: ApiServer) -> Client:
    """A client that may do everything."""
    return apiserver.client()


@pytest.fixture
async def cluster(apiserver: ApiServer) -> AsyncIterator[KubernetesCluster]:
    """The operator's own way to the server, with its own rights and no fence."""
    made = KubernetesCluster(await login(apiserver.kubeconfig()), lambda *_: None, fence=always_open())
    yield made
    await made.close()


@pytest.fixture
def namespace(apiserver: ApiServer) -> str:
    """A new namespace."""
    return apiserver.namespace()


@pytest.fixture(scope="session")
def shared_namespace(apiserver: ApiServer) -> str:
    """A namespace for requests that leave nothing behind."""
    return apiserver.namespace()
