"""Specs that cannot be applied: what the API server refuses, what only the operator sees, and names that are taken."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from e2e.conftest import namespace_for
from e2e.support.causes import Act, Cause, Took, applies, play_alone, record, selected, side_by_side
from e2e.support.kubectl import Kubectl, KubectlError, Object, condition
from e2e.support.services import light, service
from tests.support.eventually import eventually

READY_S = 240


def _idle(name: str, **spec: Any) -> Object:
    """A service that would run no pod."""
    return service(name, replicas=0, **spec)


def _theirs(kind: str, name: str) -> Object:
    """An object of another owner under the name that a service needs."""
    labels = {"app": "theirs"}
    container = {"name": "theirs", "image": "example.com/theirs:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    specs: dict[str, Object] = {
        "Service": {"ports": [{"port": 9999}], "selector": labels},
        "Deployment": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        "PodDisruptionBudget": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    }
    versions = {"Service": "v1", "Deployment": "apps/v1", "PodDisruptionBudget": "policy/v1"}
    return {"apiVersion": versions[kind], "kind": kind, "metadata": {"name": name}, "spec": specs[kind]}


def _model(uri: str) -> Object:
    return {"uri": uri, "credentials": {"secretName": "s3-read"}}


def _refused(what: str, name: str, reason: str, words: tuple[str, ...], **spec: Any) -> Cause:
    """A cause that lies in one field of the spec, and is cured there."""
    return Cause(what, partial(_idle, name, **spec), reason, words, applies(_idle(name)), healthy="ScaledToZero")


def _gives_up(kind: str, name: str) -> Act:
    """The cure that is the removal of another owner's object, which was left as it is until then."""

    def remove(kubectl: Kubectl) -> None:
        theirs = kubectl.get(kind, name)
        assert "ownerReferences" not in theirs["metadata"], "taken over"
        assert "labels" not in theirs["metadata"], "written to"
        kubectl.run("delete", f"{kind}/{name}", "--wait=true")

    return remove


def _taken(kind: str) -> Cause:
    name = f"taken-{kind.lower()}"
    return Cause(
        f"another owner's {kind} has the name",
        partial(_idle, name),
        "NameTaken",
        (kind, name),
        _gives_up(kind, name),
        before=applies(_theirs(kind, name)),
        healthy="ScaledToZero",
    )


CAUSES = (
    _refused("an unknown engine", "engine", "UnknownEngine", ("vlm", "vllm"), engine={"type": "vlm"}),
    _refused("an unknown scheme", "scheme", "UnknownSource", ("ftp", "s3"), model=_model("ftp://host/model")),
    _refused("a bucket that cannot exist", "bucket", "InvalidSpec", ("spec.model.uri",), model=_model("s3://A_B/x")),
    _refused("an unknown accelerator", "tpu", "UnknownAccelerator", ("tpu", "nvidia"), accelerator={"type": "tpu"}),
    _refused(
        "a version without an image", "version", "NoEngineImage", ("9.9.9", "0.32.0"), engine={"version": "9.9.9"}
    ),
    _refused("a flag that is ours", "flag", "EngineArgumentRefused", ("--port",), engine={"args": ["--port=1"]}),
    _refused(
        "a variable that is ours",
        "variable",
        "EngineVariableRefused",
        ("POD_UID", "Remove it"),
        engine={"env": [{"name": "POD_UID", "value": "x"}]},
    ),
    _taken("Service"),
    _taken("Deployment"),
    _taken("PodDisruptionBudget"),
)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Took]]]:
    for namespace in namespace_for(request):
        with side_by_side(namespace, selected(request, CAUSES), at_once=10) as results:
            yield results


@pytest.mark.parametrize("cause", CAUSES, ids=str)
def test_a_spec_that_cannot_be_applied_is_reported_by_name_and_its_cure_is_noticed(
    cause: Cause, played: Mapping[str, Future[Took]], request: pytest.FixtureRequest
) -> None:
    record(played[cause.what].result(), cause, request)


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("A.Wrong.Name", {}, r"lower|RFC 1123"),
        ("7-is-a-digit", {}, r"metadata\.name becomes the name of a Service"),
        ("cores", {"accelerator": {"type": "cpu", "count": 2}}, r"have no effect with type cpu"),
        ("place", {"model": {"uri": "models/tiny"}}, r"model\.uri must have the form scheme://location"),
        ("typo", {"replica": 2}, r"unknown field \"spec\.replica\""),
    ],
)
def test_what_the_schema_forbids_is_refused_with_what_to_write_instead(
    namespace: Kubectl, name: str, spec: Object, words: str
) -> None:
    with pytest.raises(KubectlError, match=words):
        namespace.apply(service(name, **spec))


def test_a_refused_change_of_a_running_service_interrupts_no_client(namespace: Kubectl) -> None:
    good = light("steady")
    namespace.apply(good)
    namespace.wait("infsvc/steady", "condition=Ready", READY_S)
    (pod,) = namespace.list("pods", "serving.modelyard.dev/service=steady")

    namespace.apply(light("steady", engine={"args": ["--port=1"]}))

    def serving_previous() -> Object | None:
        ready = condition(namespace.get("infsvc", "steady"), "Ready")
        return ready if ready is not None and ready["reason"] == "ServingPrevious" else None

    ready = eventually(serving_previous, within_s=60, every_s=0.5)
    assert ready["status"] == "True"
    assert "--port" in ready["message"]

    namespace.apply(good)
    namespace.wait("infsvc/steady", "jsonpath={.status.reason}=Ready", 60)
    assert [p["metadata"]["uid"] for p in namespace.list("pods", "serving.modelyard.dev/service=steady")] == [
        pod["metadata"]["uid"]
    ]


@pytest.fixture
def predecessor(namespace: Kubectl) -> Iterator[str]:
    """The name of a deleted service whose Deployment is held back; it is let go afterwards."""
    namespace.apply(_idle("heir"))
    eventually(lambda: namespace.exists("deployment", "heir"), within_s=60, every_s=0.5)
    _hold(namespace, "heir", ["example.com/held"])
    namespace.run("delete", "infsvc/heir", "--wait=true")
    yield "heir"
    if namespace.exists("deployment", "heir"):
        _hold(namespace, "heir", None)


def _hold(kubectl: Kubectl, name: str, finalizers: list[str] | None) -> None:
    patch = json.dumps({"metadata": {"finalizers": finalizers}})
    kubectl.run("patch", f"deployment/{name}", "--type=merge", f"--patch={patch}")


def test_a_service_that_follows_a_deleted_one_of_its_name_waits_for_what_that_left(
    namespace: Kubectl, predecessor: str, request: pytest.FixtureRequest
) -> None:
    cause = Cause(
        "what a deleted service of that name left",
        partial(light, predecessor),
        "PredecessorTerminating",
        (f"Deployment {predecessor}",),
        lambda kubectl: _hold(kubectl, predecessor, None),
    )
    play_alone(cause, namespace, request)


def test_zero_replicas_are_a_state_of_their_own(namespace: Kubectl) -> None:
    body = light("sleeps", replicas=0)
    namespace.apply(body)
    namespace.wait("infsvc/sleeps", "jsonpath={.status.reason}=ScaledToZero", 60)

    asleep = namespace.get("infsvc", "sleeps")
    assert condition(asleep, "Reconciling") is None
    assert condition(asleep, "Stalled") is None
    ready = condition(asleep, "Ready")
    assert ready is not None
    assert "scale infsvc/sleeps --replicas=1" in ready["message"]

    namespace.run("scale", "infsvc/sleeps", "--replicas=1")
    namespace.wait("infsvc/sleeps", "condition=Ready", READY_S)
    namespace.run("scale", "infsvc/sleeps", "--replicas=0")
    namespace.wait("infsvc/sleeps", "jsonpath={.status.reason}=ScaledToZero", 60)
