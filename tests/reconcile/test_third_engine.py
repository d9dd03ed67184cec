"""One file and one line in the registry are all that another engine needs: here it is registered, and used."""

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.api.settings import EngineImage
from modelyard.contract import names
from modelyard.integrations.engines import ENGINES
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.files_engine import Files
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.rendering import engine_command
from tests.support.running_operator import SETTINGS, RunningOperator

IMAGE = EngineImage(engine="files", version="3.11", accelerator="cpu", image="registry.example/python:3.11")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> InMemoryCluster:
    monkeypatch.setitem(ENGINES, Files.name, Files())
    return InMemoryCluster()


def service(**engine: object) -> Object:
    return factories.service(engine={"type": "files", **engine}, accelerator={"type": "cpu"})


def seen(cluster: InMemoryCluster, kind: kinds.Kind) -> Object:
    body = cluster.see(kind, KEY)
    assert body is not None
    return body


def ready(cluster: InMemoryCluster) -> Object:
    return condition(cluster, "Ready")


async def test_a_registered_engine_gets_its_children(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster)
    cluster.put(service(image="registry.example/python:3.12", args=["--protocol=HTTP/1.1"]))
    await operator.run()

    pod = seen(cluster, kinds.DEPLOYMENT)["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert engine_command(container) == [
        *("python3", "-m", "http.server", "--directory=/model", "--protocol=HTTP/1.1", "8000")
    ]
    assert container["readinessProbe"]["httpGet"] == {"path": "/", "port": "http"}
    assert pod["metadata"]["labels"][names.LABEL_APP_NAME] == "files"
    assert [port["name"] for port in seen(cluster, kinds.SERVICE)["spec"]["ports"]] == ["http"]
    effective = seen(cluster, kinds.INFERENCE_SERVICE)["status"]["effective"]
    assert (effective["engineType"], effective["engineVersion"]) == ("files", "3.12")


async def test_its_images_are_rows_in_the_settings_like_any_others(cluster: InMemoryCluster) -> None:
    settings = SETTINGS.model_copy(update={"images": (IMAGE,), "default_engine": "files"})
    operator = RunningOperator(cluster, settings=settings)
    cluster.put(factories.service(engine={"version": "3.11"}, accelerator={"type": "cpu"}))
    await operator.run()
    assert seen(cluster, kinds.DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE.image


async def test_its_own_words_on_failure_are_reported_as_they_are(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster)
    cluster.put(service(image=IMAGE.image))
    await operator.run()
    over = {"exitCode": 1, "reason": "Error", "message": "PermissionError: [Errno 13] Permission denied: '/model'"}
    pod = factories.pod(
        spec={"nodeName": "worker"},
        status={
            "phase": "Running",
            "initContainerStatuses": [{"name": names.CONTAINER_FETCH, "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [{"name": names.CONTAINER_ENGINE, "state": {"terminated": over}}],
        },
    )
    pod["metadata"]["annotations"] = seen(cluster, kinds.DEPLOYMENT)["spec"]["template"]["metadata"]["annotations"]
    cluster.put(pod)
    await operator.run()
    assert ready(cluster)["reason"] == "EngineFailed"
    assert "Permission denied: '/model'" in ready(cluster)["message"]


async def test_without_its_line_in_the_registry_it_is_unknown() -> None:
    cluster = InMemoryCluster()
    operator = RunningOperator(cluster)
    cluster.put(service(image=IMAGE.image))
    await operator.run()
    assert ready(cluster)["reason"] == "UnknownEngine"
