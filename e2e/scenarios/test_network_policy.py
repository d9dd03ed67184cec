"""Who can call a service that lists who may: the cluster's network enforces it."""

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


def test_the_operator_reaches_the_fetcher_of_a_service_that_no_client_may_call(
    namespace: Kubectl, standin: Object
) -> None:
    body = service("silent", engine=standin, networkPolicy={"from": []})
    body["spec"]["model"]["uri"] = "s3://models/no-such-folder"
    namespace.apply(body)

    def reported_by_the_fetcher() -> Object | None:
        ready = condition(namespace.get("infsvc", "silent"), "Ready")
        return ready if ready is not None and "no-such-folder" in ready["message"] else None

    assert eventually(reported_by_the_fetcher, within_s=READY_S, every_s=1)["reason"] == "ModelNotFound"


DENY_ALL: Object = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny-all"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}


def test_where_all_ingress_is_denied_a_fetchers_failure_is_reported_with_the_policy_to_add(
    namespace: Kubectl, standin: Object
) -> None:
    """The operator cannot query the fetcher; the Secret alone is the cure, and the policy shows the progress again."""
    namespace.apply(DENY_ALL)
    body = service("denied", engine=standin)
    body["spec"]["model"]["credentials"] = {"secretName": "later"}
    namespace.apply(body)

    def with_words(words: str) -> Object | None:
        ready = condition(namespace.get("infsvc", "denied"), "Ready")
        return ready if ready is not None and words in ready["message"] else None

    # An end after 20 s, and the kubelet's first wait of 10 s; the policy is advised once the next run is silent, too.
    assert eventually(lambda: with_words("later"), within_s=READY_S, every_s=1)["reason"] == "CredentialsMissing"
    assert (
        eventually(lambda: with_words("set spec.networkPolicy"), within_s=90, every_s=1)["reason"]
        == "CredentialsMissing"
    )
    [pod] = pods_of(namespace, "denied")
    assert [status["restartCount"] for status in pod["status"]["initContainerStatuses"]] == [1]

    key = namespace.get("secret", "s3-read")["data"]
    namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later"}, "data": key})
    namespace.wait("infsvc/denied", "condition=Ready", READY_S)
    assert [p["metadata"]["uid"] for p in pods_of(namespace, "denied")] == [pod["metadata"]["uid"]]
