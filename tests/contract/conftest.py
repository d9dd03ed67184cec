"""One real API server for the whole run, and a namespace of its own for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

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
def namespace(apiserver: ApiServer) -> str:
    """A new namespace."""
    return apiserver.namespace()


@pytest.fixture(scope="session")
def shared_namespace(apiserver: ApiServer) -> str:
    """A namespace for requests that leave nothing behind."""
    return apiserver.namespace()
