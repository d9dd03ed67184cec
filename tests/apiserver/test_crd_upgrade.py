"""An installation of the newest release is upgraded: objects stored under its CRDs stay as they are, and so do pods.

On an API server of its own, which begins with the release's CRDs and gets those of this version. Before the first
release that is an earlier version as tests make it (tests/support/releases.py).
"""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
import yaml

from modelyard.api import kinds
from modelyard.api.kinds import DEPLOYMENT, INFERENCE_SERVICE
from modelyard.contract import names
from modelyard.desired.metadata import fingerprint
from tests.support import apiserver as support
from tests.support.api_client import Client, Object
from tests.support.apiserver import OPERATOR, ApiServer
from tests.support.eventually import eventually
from tests.support.program import allow, started
from tests.support.releases import NEWEST, Kept

SERVICES = NEWEST.services
SETTINGS = """
fetch_image: new.example.com/modelyard-fetch:99.0.0
drain_s: 59
accelerators:
  nvidia: {resource: nvidia.com/gpu}
  amd: {resource: amd.com/gpu}
  cpu: {}
"""


class Upgraded(NamedTuple):
    """The server after its upgrade. ``services`` and ``deployments`` are what was stored before it, by case."""

    server: ApiServer
    services: dict[str, Object]
    deployments: dict[str, Object]


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """A server that got the CRDs of this version while it held what the release had made."""
    crds = tmp_path_factory.mktemp("crds")
    for name, crd in NEWEST.crds.items():
        (crds / name).write_text(yaml.safe_dump(crd))
    with (
        TemporaryDirectory(prefix="modelyard-upgrade-") as folder,
        support.running(Path(folder), crds) as server,
    ):
        services, deployments = {}, {}
        for found in SERVICES:
            services[found.case] = applied(server, found)
            deployments[found.case] = made_by_the_release(server.client(), found, services[found.case])
        server.install_crds()
        yield Upgraded(server, services, deployments)


def file_of(found: Kept, namespace: str) -> str:
    """The service's file as its user has it."""
    metadata = {"name": found.service["metadata"]["name"], "namespace": namespace}
    return yaml.safe_dump({**found.service, "metadata": metadata})


def applied(server: ApiServer, found: Kept) -> Object:
    """The service as the server stores it, after its user applied its file in a namespace of its own."""
    namespace = server.namespace()
    server.kubectl("apply", "-f", "-", stdin=file_of(found, namespace))
    return server.client().get(INFERENCE_SERVICE, found.service["metadata"]["name"], namespace)


def made_by_the_release(client: Client, found: Kept, service: Object) -> Object:
    """The Deployment that the release made of the service, applied as its operator did."""
    child = deepcopy(found.deployment)
    metadata = child["metadata"]
    annotations = {key: value for key, value in metadata["annotations"].items() if key != names.ANNOTATION_RENDERED}
    child["metadata"] = metadata | {
        "namespace": service["metadata"]["namespace"],
        "ownerReferences": [metadata["ownerReferences"][0] | {"uid": service["metadata"]["uid"]}],
        "annotations": annotations,
    }
    annotations[names.ANNOTATION_RENDERED] = fingerprint(child)
    return client.apply(DEPLOYMENT, child, names.FIELD_MANAGER)


def now(upgraded: Upgraded, found: Kept, kind: kinds.Kind = INFERENCE_SERVICE) -> Object:
    metadata = upgraded.services[found.case]["metadata"]
    return upgraded.server.client().get(kind, metadata["name"], metadata["namespace"])


def identified(found: Kept) -> str:
    return f"{found.release}-{found.case}"


@pytest.mark.parametrize("found", SERVICES, ids=identified)
def test_what_was_stored_is_read_as_it_was(upgraded: Upgraded, found: Kept) -> None:
    before, after = upgraded.services[found.case], now(upgraded, found)
    assert after["spec"] == before["spec"]
    for field in ("uid", "generation"):
        assert after["metadata"][field] == before["metadata"][field]


@pytest.mark.parametrize("found", SERVICES, ids=identified)
def test_an_unchanged_file_applied_again_changes_nothing(upgraded: Upgraded, found: Kept) -> None:
    before = now(upgraded, found)
    output = upgraded.server.kubectl("apply", "-f", "-", stdin=file_of(found, before["metadata"]["namespace"]))
    assert "unchanged" in output
    assert now(upgraded, found)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize("found", SERVICES, ids=identified)
def test_what_was_stored_can_be_written_again(upgraded: Upgraded, found: Kept) -> None:
    body = now(upgraded, found)
    assert upgraded.server.client().replace(INFERENCE_SERVICE, body, dryRun="All")["spec"] == body["spec"]


@pytest.fixture(scope="module")
def reconciled(upgraded: Upgraded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """The server once this operator, with other settings, has looked at every service."""
    allow(upgraded.server)
    with started(upgraded.server, OPERATOR, tmp_path_factory.mktemp("operator"), SETTINGS).process:
        eventually(lambda: all("status" in now(upgraded, found) for found in SERVICES), within_s=60)
        yield upgraded


@pytest.mark.parametrize("found", SERVICES, ids=identified)
def test_this_operator_does_not_even_write_to_the_deployments_of_the_release(reconciled: Upgraded, found: Kept) -> None:
    before, after = reconciled.deployments[found.case], now(reconciled, found, DEPLOYMENT)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize("found", SERVICES, ids=identified)
def test_it_reports_what_a_refresh_would_change(reconciled: Upgraded, found: Kept) -> None:
    conditions = {condition["type"]: condition for condition in now(reconciled, found)["status"]["conditions"]}
    update = conditions["UpdateAvailable"]
    assert update["status"] == "True"
    assert "-> new.example.com/modelyard-fetch:99.0.0" in update["message"]
