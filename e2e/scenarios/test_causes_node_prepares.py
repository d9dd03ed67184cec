"""Pods that their node cannot prepare: images, and containers that cannot be set up or started."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial

import pytest

from e2e.cluster.images import SPOT_WORKER, reference
from e2e.conftest import namespace_for
from e2e.support.causes import Act, Cause, Took, applies, record, selected, side_by_side
from e2e.support.kubectl import Kubectl, Object
from e2e.support.objects import config_map, pod, secret
from e2e.support.on_nodes import tag_image
from e2e.support.services import light

pytestmark = pytest.mark.xdist_group("causes while a node prepares")

REGISTRY_PORT = 5055
REGISTRY = f"127.0.0.1:{REGISTRY_PORT}"
"""On the node's own loopback, where containerd speaks plain HTTP."""
ON_CPU = {"accelerator": {"type": "cpu"}}
"""Lets a pod land on one worker only: the one with the registry and all images."""


def _image(name: str, image: str) -> partial[Object]:
    return partial(light, name, engine={"image": image}, **ON_CPU)


def _of(name: str, image: str) -> Object:
    """A service with a test image that is no engine's."""
    return light(name, engine={"image": reference(image)}, **ON_CPU)


def _variable(name: str, **source: Object) -> partial[Object]:
    return partial(light, name, engine={"env": [{"name": "TOKEN", "valueFrom": source}]})


def _mends(name: str) -> Act:
    return applies(partial(light, name, **ON_CPU))


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
        _image("no-image", f"{REGISTRY}/engine:1"),
        "ImagePullFailed",
        (f"{REGISTRY}/engine:1", "not found", "Correct the image's name or tag"),
        lambda _: tag_image(SPOT_WORKER, reference("standin"), f"{REGISTRY}/engine:1"),
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
        partial(_of, "no-python", "s3"),
        "ContainerStartFailed",
        ("python3", "spec.engine.image"),
        _mends("no-python"),
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
        "ContainerConfigInvalid",
        ('secret "later" not found', "spec.engine.env"),
        applies(secret("later", {"token": "x"})),
    ),
    Cause(
        "a variable from a key that is not there",
        _variable("no-key", configMapKeyRef={"name": "half", "key": "token"}),
        "ContainerConfigInvalid",
        ("token", "half", "spec.engine.env"),
        applies(config_map("half", {"token": "x"})),
        before=applies(config_map("half", {"other": "x"})),
    ),
)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, cluster: Kubectl) -> Iterator[Mapping[str, Future[Took]]]:
    registry = _registry()
    cluster.apply(registry)
    cluster.wait(f"pod/{registry['metadata']['name']}", "condition=Ready", 120)
    for namespace in namespace_for(request):
        with side_by_side(namespace, selected(request, CAUSES), at_once=4) as results:
            yield results
    cluster.run("delete", f"pod/{registry['metadata']['name']}", "--wait=false")


def _registry() -> Object:
    """A registry that has no image: every path is 404."""
    program = ("python3", "-m", "http.server", str(REGISTRY_PORT), "--bind", "127.0.0.1", "--directory", "/var/empty")
    body = pod("empty-registry", reference("standin"), command=program)
    body["spec"] |= {"hostNetwork": True, "nodeName": SPOT_WORKER}
    return body


@pytest.mark.parametrize("cause", CAUSES, ids=str)
def test_a_pod_that_its_node_cannot_prepare_is_said_with_what_is_missing(
    cause: Cause, played: Mapping[str, Future[Took]], request: pytest.FixtureRequest
) -> None:
    record(played[cause.what].result(), cause, request)
