"""Pods that their node cannot prepare: images, and containers that cannot be set up or started."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial

import pytest

from e2e.cluster.images import WORKERS, reference
from e2e.conftest import namespace_for
from e2e.support.causes import Act, Cause, Took, applies, record, selected, side_by_side
from e2e.support.kubectl import Kubectl, Object
from e2e.support.objects import config_map, pod, run, secret
from e2e.support.on_nodes import images_of, remove_images, tag_image
from e2e.support.services import light

REGISTRY_PORT = 5055
REGISTRY = f"127.0.0.1:{REGISTRY_PORT}"
"""On each node's own loopback, where containerd speaks plain HTTP."""
WITHOUT_PYTHON = "example.com/without-python:1"
MISSING = f"{REGISTRY}/engine:1"


def _image(name: str, image: str) -> partial[Object]:
    return partial(light, name, engine={"image": image})


def _of(name: str, image: str) -> Object:
    """A service with a test image that is no engine's."""
    return light(name, engine={"image": reference(image)})


def _variable(name: str, **source: Object) -> partial[Object]:
    return partial(light, name, engine={"env": [{"name": "TOKEN", "valueFrom": source}]})


def _brings_image(_: Kubectl) -> None:
    for node in WORKERS:
        tag_image(node, reference("standin"), MISSING)


def _brings_other_image(_: Kubectl) -> None:
    """The image that holds a pod's network is on every node."""
    for node in WORKERS:
        tag_image(node, next(image for image in images_of(node) if "/pause:" in image), WITHOUT_PYTHON)


def _mends(name: str) -> Act:
    return applies(partial(light, name))


CAUSES = (
    Cause(
        "an image whose registry does not answer",
        _image("no-registry", "registry.invalid/engine:1"),
        "ImagePullFailed",
        ("registry.invalid/engine:1", "cannot reach the registry"),
        _mends("no-registry"),
    ),
    Cause(
        "an image that its registry does not have",
        _image("no-image", MISSING),
        "ImagePullFailed",
        (MISSING, "not found", "Correct the image's name or tag"),
        _brings_image,
    ),
    Cause(
        "an image name that cannot be read",
        _image("no-name", "registry.invalid/Engine:1"),
        "ImagePullFailed",
        ("registry.invalid/Engine:1", "Correct the image's name"),
        _mends("no-name"),
    ),
    Cause(
        "an image without Python",
        _image("no-python", WITHOUT_PYTHON),
        "ContainerStartFailed",
        ("python3", "spec.engine.image"),
        _mends("no-python"),
        before=_brings_other_image,
    ),
    Cause(
        "an image without the engine",
        partial(_of, "no-engine", "gpu-plugin"),
        "ContainerStartFailed",
        ("no `vllm`", "spec.engine.image"),
        _mends("no-engine"),
    ),
    Cause(
        "a variable from a Secret that is not there",
        _variable("no-secret", secretKeyRef={"name": "later", "key": "token"}),
        "SecretMissing",
        ('secret "later" not found', "spec.engine.env"),
        applies(secret("later", {"token": "x"})),
    ),
    Cause(
        "a variable from a key that is not there",
        _variable("no-key", configMapKeyRef={"name": "half", "key": "token"}),
        "KeyMissing",
        ("token", "half", "spec.engine.env"),
        applies(config_map("half", {"token": "x"})),
        before=applies(config_map("half", {"other": "x"})),
    ),
)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, cluster: Kubectl) -> Iterator[Mapping[str, Future[Took]]]:
    registries = [_registry(node) for node in WORKERS]
    for registry in registries:
        run(cluster, registry)
    for namespace in namespace_for(request):
        with side_by_side(namespace, selected(request, CAUSES), at_once=3) as results:
            yield results
    for node, registry in zip(WORKERS, registries, strict=True):
        cluster.run("delete", "pod", registry["metadata"]["name"], "--wait=false")
        remove_images(node, MISSING, WITHOUT_PYTHON)


def _registry(node: str) -> Object:
    """A registry on the node's own network that has no image: every path is 404."""
    program = ("python3", "-m", "http.server", str(REGISTRY_PORT), "--bind", "127.0.0.1", "--directory", "/var/empty")
    body = pod(f"empty-registry-on-{node}", reference("standin"), command=program)
    body["spec"] |= {"hostNetwork": True, "nodeName": node}
    return body


@pytest.mark.parametrize("cause", CAUSES, ids=str)
def test_a_pod_that_its_node_cannot_prepare_is_reported_with_what_is_missing(
    cause: Cause, played: Mapping[str, Future[Took]], request: pytest.FixtureRequest
) -> None:
    record(played[cause.what].result(), cause, request)
