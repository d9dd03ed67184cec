"""What is installed in the local cluster beside the operator: manifests, and who may do what with the models."""

from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from e2e.cluster import gpus, manifests, network_policy, storage
from e2e.cluster.images import IMAGES

WRITE = {"AWS_ACCESS_KEY_ID": "w", "AWS_SECRET_ACCESS_KEY": "w-secret"}
READ = {"AWS_ACCESS_KEY_ID": "r", "AWS_SECRET_ACCESS_KEY": "r-secret"}


def installed(name: str) -> list[dict[str, Any]]:
    """The objects of a manifest as a step would apply them; an unknown placeholder raises KeyError."""
    text = Template(manifests.path(name).read_text()).substitute(image=f"modelyard.local/{name}:abc", key="abc")
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize(
    ("name", "workload"),
    [("s3", storage.WORKLOAD), ("gpu-plugin", gpus.WORKLOAD), ("network-policy", network_policy.WORKLOAD)],
)
def test_a_manifests_workload_carries_the_key_and_the_image_of_its_step(name: str, workload: tuple[str, str]) -> None:
    namespace, reference = workload
    [found] = [
        body
        for body in installed(name)
        if f"{body['kind'].lower()}/{body['metadata']['name']}" == reference
        and body["metadata"]["namespace"] == namespace
    ]
    assert found["metadata"]["annotations"] == {manifests.KEY: "abc"}
    [container] = found["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"modelyard.local/{name}:abc"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("path", sorted(manifests.path("s3").parent.iterdir()), ids=lambda path: path.stem)
def test_a_manifest_is_named_after_the_image_that_it_runs(path: Path) -> None:
    assert path.stem in {image.name for image in (*IMAGES, network_policy.IMAGE)}


def test_users_may_read_the_bucket_of_models_and_nothing_else() -> None:
    [_, reader] = storage.identities(WRITE, READ)["identities"]
    assert reader["actions"] == ["Read:models", "List:models"]
    assert reader["credentials"] == [{"accessKey": "r", "secretKey": "r-secret"}]


def test_every_cluster_gets_keys_of_its_own() -> None:
    assert storage.new_keys() != storage.new_keys()


def test_tritons_repositories_are_whole_broken_in_one_model_and_empty(tmp_path: Path) -> None:
    whole = {path.name for path in storage.TRITON_REPOSITORY.iterdir()}
    assert whole == {"count", "double", "reverse"}
    broken = storage._broken_repository(tmp_path / "broken")
    assert {path.name for path in broken.iterdir()} == whole
    assert "raise" in (broken / "reverse/1/model.py").read_text()
    empty = storage._empty_repository(tmp_path / "empty")
    assert [path.is_file() for path in empty.iterdir()] == [True]
