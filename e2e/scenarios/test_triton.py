"""The real Triton serves a repository of models out of S3, and what is wrong with one is reported by name."""

from collections.abc import Callable
from urllib.error import HTTPError

import pytest

from e2e.support.inference import infer, infer_by_grpc, stream
from e2e.support.kubectl import Kubectl, Object, condition, is_true
from e2e.support.port_forward import port_forward
from e2e.support.services import S3_ENDPOINT, pods_of, service
from tests.support.eventually import eventually

READY_S = 240
GRPC_PORT = 8001
PAUSE_S = 10
"""How long a pod serves on once it must stop (the operator's setting propagation_pause_s)."""


def _triton(name: str, *models: str, repository: str = "triton", **spec: Object) -> Object:
    """A service of models in the bucket's repository of that name; of all of them where none is named."""
    return service(
        name,
        engine={"type": "triton", **({"triton": {"models": list(models)}} if models else {})},
        model={
            "uri": f"s3://models/{repository}",
            "credentials": {"secretName": "s3-read"},
            "s3": {"endpoint": S3_ENDPOINT},
        },
        resources={"requests": {"cpu": "100m", "memory": "256Mi"}},
        **spec,
    )


def _ready(kubectl: Kubectl, body: Object) -> Object:
    """Apply the service and wait until it is Ready."""
    name = body["metadata"]["name"]
    kubectl.apply(body)
    eventually(lambda: is_true(kubectl.get("infsvc", name), "Ready"), within_s=READY_S, every_s=1)
    return kubectl.get("infsvc", name)


def _reported(kubectl: Kubectl, name: str, words: str) -> Callable[[], Object | None]:
    """The condition Ready once its message has those words; it may not have been True before."""

    def reported() -> Object | None:
        found = kubectl.get("infsvc", name)
        assert not is_true(found, "Ready"), "Ready without its models"
        ready = condition(found, "Ready")
        return ready if ready is not None and words in ready["message"] else None

    return reported


def test_a_repository_out_of_s3_is_served_over_http_and_grpc(namespace: Kubectl) -> None:
    ready = _ready(namespace, _triton("whole"))
    assert ready["status"]["effective"]["engineVersion"] == "24.10"

    with port_forward(namespace, "whole") as url:
        assert infer(url, "double", [1.5, 4.0], datatype="FP32") == [3.0, 8.0]
        assert infer(url, "reverse", ["stressed"], datatype="BYTES") == ["desserts"]
        assert [answer["NUMBER"] for answer in stream(url, "count", UPTO=5)] == [1, 2, 3, 4, 5]
    with port_forward(namespace, "whole", GRPC_PORT) as url:
        assert infer_by_grpc(url, "double", [0.25, -2.0]) == [0.5, -4.0]


def test_models_that_are_not_requested_are_not_loaded(namespace: Kubectl) -> None:
    _ready(namespace, _triton("some", "double", "count"))

    with port_forward(namespace, "some") as url:
        assert infer(url, "double", [2.0], datatype="FP32") == [4.0]
        with pytest.raises(HTTPError) as refused:
            infer(url, "reverse", ["level"], datatype="BYTES")
        refused.value.close()


def test_a_repository_without_a_model_is_reported_and_cured(namespace: Kubectl) -> None:
    namespace.apply(_triton("empty", repository="triton-empty"))

    ready = eventually(_reported(namespace, "empty", "the repository is empty"), within_s=READY_S, every_s=1)
    assert ready["reason"] == "ModelsNotReady"

    _ready(namespace, _triton("empty"))


def test_a_model_that_does_not_load_is_reported_by_name_and_cured(namespace: Kubectl) -> None:
    namespace.apply(_triton("broken", repository="triton-broken"))

    ready = eventually(_reported(namespace, "broken", "'reverse' version 1"), within_s=READY_S, every_s=1)
    assert ready["reason"] == "ModelNotLoadable"

    _ready(namespace, _triton("broken", "double", repository="triton-broken"))


def test_a_model_that_the_repository_lacks_is_reported_by_name_and_cured(namespace: Kubectl) -> None:
    namespace.apply(_triton("lacking", "double", "triple"))

    ready = eventually(_reported(namespace, "lacking", "'triple'"), within_s=READY_S, every_s=1)
    assert ready["reason"] == "ModelNotLoadable"

    _ready(namespace, _triton("lacking", "double"))


def test_a_request_in_flight_at_a_rollout_ends_whole(namespace: Kubectl) -> None:
    body = _triton("rolls", "double", "count", drain={"timeoutSeconds": 60})
    _ready(namespace, body)
    (old,) = (pod["metadata"]["name"] for pod in pods_of(namespace, "rolls"))
    numbers = 10 * (PAUSE_S + 10)  # ten a second: the server gets its stop signal in their middle

    with port_forward(namespace, "rolls") as url:
        body["spec"]["engine"]["args"] = ["--log-verbose=1"]
        namespace.apply(body)
        eventually(lambda: "deletionTimestamp" in namespace.get("pod", old)["metadata"], within_s=READY_S, every_s=0.5)
        answers = [answer["NUMBER"] for answer in stream(url, "count", UPTO=numbers)]

    assert answers == list(range(1, numbers + 1))
    assert is_true(namespace.get("infsvc", "rolls"), "Ready")
