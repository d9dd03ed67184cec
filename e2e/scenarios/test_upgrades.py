"""A new operator, other settings and a changed profile, while requests flow: no client notices, no pod restarts."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from e2e.support.installation import Installation
from e2e.support.kubectl import Kubectl, Object, condition, is_true
from e2e.support.load import load
from e2e.support.services import pods_of, service
from tests.support.eventually import eventually

READY_S = 240
REPORTED_S = 60


def _up(kubectl: Kubectl, bodies: Sequence[Object]) -> None:
    kubectl.apply(*bodies)
    for body in bodies:
        kubectl.wait(f"infsvc/{body['metadata']['name']}", "condition=Ready", READY_S)


def _containers(kubectl: Kubectl, name: str) -> dict[str, int]:
    """Restarts of each of the service's pods, by uid."""
    return {
        pod["metadata"]["uid"]: sum(c["restartCount"] for c in pod["status"].get("containerStatuses", ()))
        for pod in pods_of(kubectl, name)
    }


def _update(kubectl: Kubectl, name: str) -> str:
    """What the service reports that a refresh would change; empty where nothing."""
    found = condition(kubectl.get("infsvc", name), "UpdateAvailable")
    return str(found["message"]) if found and found["status"] == "True" else ""


def _offers(kubectl: Kubectl, name: str, change: str) -> None:
    """Wait until the service offers the change, and see that it is no worse for it."""
    message = eventually(lambda: _update(kubectl, name), lambda text: change in text, within_s=REPORTED_S, every_s=0.5)
    assert f"annotate infsvc/{name} serving.modelyard.dev/refresh=" in message
    body = kubectl.get("infsvc", name)
    assert is_true(body, "Ready")
    assert condition(body, "Stalled") is None
    eventually(lambda: condition(kubectl.get("infsvc", name), "Reconciling") is None, within_s=REPORTED_S, every_s=0.5)


def _refresh(kubectl: Kubectl, name: str) -> None:
    """Order a refresh and wait until it is taken, in the words of docs/profiles.md."""
    before = set(_containers(kubectl, name))
    kubectl.run("annotate", f"infsvc/{name}", "serving.modelyard.dev/refresh=now", "--overwrite")
    kubectl.wait(f"infsvc/{name}", "condition=UpdateAvailable=False", REPORTED_S)
    kubectl.run("rollout", "status", f"deployment/{name}", f"--timeout={READY_S}s", timeout_s=READY_S + 30)
    after = eventually(lambda: pods_of(kubectl, name), within_s=REPORTED_S)
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in after)


def _generation(kubectl: Kubectl, name: str) -> int:
    return int(kubectl.get("deployment", name)["metadata"]["generation"])


def _grace_s(kubectl: Kubectl, name: str) -> int:
    return int(kubectl.get("deployment", name)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])


@pytest.mark.alone
def test_an_operator_replaced_under_load_fails_no_request_and_restarts_no_pod_until_a_refresh(
    namespace: Kubectl, standin: Object, installation: Installation
) -> None:
    services = ("steady", "scales", "refreshed")
    _up(namespace, [service(name, engine=standin, drain={}) for name in services])
    grace_s = _grace_s(namespace, "steady")
    with load(namespace, services) as requests:
        before = {name: _containers(namespace, name) for name in services}
        generation = _generation(namespace, "steady")
        namespace.run("scale", "infsvc/scales", "--replicas=2")
        with installation.changed(image=installation.other_image(), settings={"drain_s": 33}):
            eventually(installation.is_idle, within_s=120, every_s=1)
            namespace.wait("infsvc/scales", "jsonpath={.status.readyReplicas}=2", READY_S)
            for name in services:
                _offers(namespace, name, "--drain-s 60 -> 33")
                assert _containers(namespace, name).items() >= before[name].items(), f"{name} was restarted"

            _refresh(namespace, "refreshed")
            assert _grace_s(namespace, "refreshed") == grace_s - 60 + 33
            assert _grace_s(namespace, "steady") == grace_s
            assert _generation(namespace, "steady") == generation
            assert _containers(namespace, "steady") == before["steady"]
        eventually(lambda: _update(namespace, "steady") == "", within_s=REPORTED_S, every_s=0.5)
        requests.goes_on()
        assert requests.failed() == []


@pytest.fixture
def profile(namespace: Kubectl) -> Iterator[Callable[..., str]]:
    """Applies a profile of this test's own with the given spec and returns its name; deleted afterwards."""
    name = namespace.namespace

    def apply(**spec: object) -> str:
        kind = {"apiVersion": "serving.modelyard.dev/v1alpha1", "kind": "ServingProfile"}
        namespace.apply({**kind, "metadata": {"name": name}, "spec": spec})
        return name

    yield apply
    namespace.run("delete", "servingprofile", name, "--ignore-not-found")


def test_a_profile_changed_under_load_fails_no_request_and_restarts_no_pod_until_a_refresh(
    namespace: Kubectl, standin: Object, profile: Callable[..., str]
) -> None:
    name = profile(drain={"timeoutSeconds": 7}, accelerator={"type": "cpu"})
    namespace.run("label", "namespace", namespace.namespace, f"serving.modelyard.dev/profile={name}")
    labelled = service("labelled", engine=standin, drain={}, accelerator={})
    _up(namespace, [labelled, service("named", engine=standin, drain={}, profile=name)])
    assert namespace.get("infsvc", "labelled")["status"]["effective"]["profile"] == name
    grace_s = _grace_s(namespace, "labelled")

    with load(namespace, ("labelled", "named")) as requests:
        before = {each: _containers(namespace, each) for each in ("labelled", "named")}
        profile(drain={"timeoutSeconds": 9}, accelerator={"type": "cpu"})
        for each in ("labelled", "named"):
            _offers(namespace, each, "--drain-s 7 -> 9")
        _refresh(namespace, "named")
        assert _grace_s(namespace, "named") == grace_s + 2
        assert _containers(namespace, "labelled") == before["labelled"]

        namespace.run("delete", "servingprofile", name)

        def is_recorded() -> bool:
            accepted = condition(namespace.get("infsvc", "labelled"), "Accepted")
            return accepted is not None and (accepted["status"], accepted["reason"]) == ("True", "AcceptedAsRecorded")

        eventually(is_recorded, within_s=REPORTED_S, every_s=0.5)
        assert _containers(namespace, "labelled") == before["labelled"]
        requests.goes_on()
        assert requests.failed() == []
