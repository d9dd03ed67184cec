"""Who can call a service that says who may: the cluster's network enforces it."""

from collections.abc import Iterator

import pytest

from e2e.conftest import namespace_for
from e2e.support.callers import call, caller
from e2e.support.kubectl import Kubectl, KubectlError, Object, condition, is_true
from e2e.support.services import pods_of, service
from tests.support.eventually import eventually

READY_S = 240


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Another namespace."""
    yield from namespace_for(request)


def lets_in(*names: str) -> Object:
    """``spec.networkPolicy`` that lets the pods of these namespaces in."""
    return {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in names]}


def test_pods_of_an_allowed_namespace_get_an_answer_and_others_get_none(
    namespace: Kubectl, elsewhere: Kubectl, standin: Object
) -> None:
    namespace.apply(service("closed", engine=standin, networkPolicy=lets_in(namespace.namespace)))
    namespace.wait("infsvc/closed", "condition=Ready", READY_S)
    friend, stranger = caller(namespace, "friend"), caller(elsewhere, "stranger")
    url = f"{namespace.get('infsvc', 'closed')['status']['url']}/v1/models"

    assert call(namespace, friend, url) == "200"
    with pytest.raises(KubectlError, match="timed out"):
        call(elsewhere, stranger, url)

    namespace.apply(service("closed", engine=standin, networkPolicy=lets_in(namespace.namespace, elsewhere.namespace)))
    eventually(lambda: gets_an_answer(elsewhere, stranger, url), within_s=60, every_s=1)

    namespace.apply(service("closed", engine=standin, networkPolicy={"from": []}))
    eventually(lambda: not gets_an_answer(namespace, friend, url), within_s=60, every_s=1)
    [pod] = pods_of(namespace, "closed")
    assert is_true(namespace.get("infsvc", "closed"), "Ready"), "the kubelet's probes come through"
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0

    namespace.apply(service("closed", engine=standin))
    eventually(lambda: gets_an_answer(elsewhere, stranger, url), within_s=60, every_s=1)
    assert not namespace.exists("networkpolicy", "closed")
    assert [p["metadata"]["uid"] for p in pods_of(namespace, "closed")] == [pod["metadata"]["uid"]]


def gets_an_answer(kubectl: Kubectl, pod: str, url: str) -> bool:
    """Whether the pod can call the URL."""
    try:
        return call(kubectl, pod, url) == "200"
    except KubectlError:
        return False


def test_the_operator_hears_the_fetcher_of_a_service_that_nobody_may_call(namespace: Kubectl, standin: Object) -> None:
    body = service("silent", engine=standin, networkPolicy={"from": []})
    body["spec"]["model"]["uri"] = "s3://models/no-such-folder"
    namespace.apply(body)

    def told_by_the_fetcher() -> Object | None:
        ready = condition(namespace.get("infsvc", "silent"), "Ready")
        return ready if ready is not None and "no-such-folder" in ready["message"] else None

    assert eventually(told_by_the_fetcher, within_s=READY_S, every_s=1)["reason"] == "ModelNotFound"
