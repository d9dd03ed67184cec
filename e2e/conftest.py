"""What every scenario stands on: the local cluster, a namespace of its own, the stand-in engine, the operator."""

import json
import re
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from e2e.cluster.images import WORKERS, reference
from e2e.support.causes import TOOK
from e2e.support.dump import dump_cluster
from e2e.support.installation import Installation
from e2e.support.kubectl import Kubectl, Object
from e2e.support.node_cache import NodeCache
from e2e.support.services import SEAT

DUMP = Path(__file__).parent / "dump"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files on scaling first: they mostly wait, up to a quarter of an hour, and begun last would run on alone."""
    items.sort(key=lambda item: not item.path.name.startswith("test_scaling_"))


@pytest.fixture(scope="session")
def cluster() -> Kubectl:
    """The local cluster, and no other, as its administrator: scenarios kill operators and fill nodes."""
    return Kubectl()


@pytest.fixture(scope="session")
def installation(cluster: Kubectl) -> Installation:
    """The operator in the local cluster."""
    return Installation(cluster)


@pytest.fixture(scope="session")
def node_cache(cluster: Kubectl) -> NodeCache:
    """The node cache of the local cluster."""
    return NodeCache(cluster)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_forbidden(installation: Installation, node_cache: NodeCache) -> Iterator[None]:
    """After all scenarios, the roles of the operator and of the agents have been enough for every one of them."""
    yield
    assert installation.refused_calls() == []
    assert node_cache.refused_calls() == []


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace for one test."""
    yield from namespace_for(request)


@pytest.fixture(scope="module")
def module_namespace(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace for all tests of a file."""
    yield from namespace_for(request)


def namespace_for(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace that enforces Pod Security `restricted` and holds the key of the model store; deleted afterwards.

    Where its test fails the cluster's state is written to e2e/dump/<test> first.
    """
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-") + "-" + secrets.token_hex(3)
    kubectl = make_namespace(name)
    yield kubectl
    if request.node.stash.get(FAILED, False):
        dump_cluster(kubectl, DUMP / request.node.name)
    kubectl.run("delete", "namespace", name, "--wait=false")


def make_namespace(name: str) -> Kubectl:
    """A namespace that enforces Pod Security `restricted` and holds the key of the model store."""
    kubectl = Kubectl(namespace=name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    keys = Kubectl(namespace="storage").get("secret", "s3-read")["data"]
    kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-read"}, "data": keys})
    return kubectl


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remembers on the test and on what it stands in whether it failed, for the namespace's end."""
    report = yield
    if report.failed:
        for node in item.listchain():
            node.stash[FAILED] = True
    return report


@pytest.fixture(scope="session", autouse=True)
def seats(cluster: Kubectl) -> None:
    """Both workers have plenty of the resource that light services take."""
    plenty = {"status": {"capacity": {SEAT: "100"}, "allocatable": {SEAT: "100"}}}
    for node in WORKERS:
        cluster.run("patch", f"node/{node}", "--subresource=status", "--type=merge", f"--patch={json.dumps(plenty)}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long it took until each cause was reported, gone, and the service well again."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    rows = [value for report in reports for name, value in report.user_properties if name == TOOK]
    if rows:
        terminalreporter.section("seconds until a cause is reported, is gone after its cure, and the service is well")
        for what, reason, *seconds in sorted(rows):
            figures = " ".join(f"{value:6.1f}" for value in seconds)
            terminalreporter.write_line(f"{figures}  {reason:<24} {what}")


@pytest.fixture(scope="session")
def standin() -> Object:
    """``spec.engine`` of a service that the light stand-in engine serves."""
    return {"image": reference("standin"), "version": "0.32.0"}
