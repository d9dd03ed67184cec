"""Models on claims of the namespace: the claim, its volume or the folder on it is missing, then comes."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from e2e.cluster.images import WORKERS
from e2e.images.standin.tiny_model import write_tiny_model
from e2e.support.causes import Cause, applies, play_alone
from e2e.support.kubectl import Kubectl, Object
from e2e.support.on_nodes import copy_to, remove_from
from e2e.support.services import light

ON_NODES = "/var/lib/modelyard-test-models"


def _claim(volume: str) -> Object:
    spec = {
        "accessModes": ["ReadOnlyMany"],
        "storageClassName": "",
        "volumeName": volume,
        "resources": {"requests": {"storage": "1Mi"}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": spec}


def _volume(name: str) -> Object:
    """A folder that is the same on every worker, as a file server's would be."""
    spec = {
        "accessModes": ["ReadOnlyMany"],
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "hostPath": {"path": ON_NODES},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def _served(path: str) -> partial[Object]:
    return partial(light, "claimed", model={"uri": f"pvc://models/{path}"})


@pytest.fixture
def volume(namespace: Kubectl, cluster: Kubectl, tmp_path: Path) -> Iterator[str]:
    """The name of a volume on which the tiny model lies, for the namespace's claim; the volume is not made yet."""
    name = f"{namespace.namespace}-models"
    folder = tmp_path / "models"
    write_tiny_model(folder / "tiny")
    for node in WORKERS:
        copy_to(node, folder, ON_NODES)
    yield name
    cluster.run("delete", "pv", name, "--ignore-not-found", "--wait=false")
    for node in WORKERS:
        remove_from(node, ON_NODES)


def test_a_missing_claim_is_reported_by_name_and_noticed_when_it_appears(
    namespace: Kubectl, volume: str, request: pytest.FixtureRequest
) -> None:
    cause = Cause(
        "a claim that is not there",
        _served("tiny"),
        "VolumeClaimMissing",
        ('persistentvolumeclaim "models" not found',),
        applies(_claim(volume), _volume(volume)),
        meanwhile=frozenset({"VolumeClaimUnbound"}),
    )
    play_alone(cause, namespace, request)


def test_a_claim_without_a_volume_is_reported_and_noticed_when_it_is_bound(
    namespace: Kubectl, volume: str, request: pytest.FixtureRequest
) -> None:
    cause = Cause(
        "a claim that has no volume",
        _served("tiny"),
        "VolumeClaimUnbound",
        ("PersistentVolumeClaims", "describe pvc"),
        applies(_volume(volume)),
        before=applies(_claim(volume)),
    )
    play_alone(cause, namespace, request)
