"""Pods that the API server refuses: a quota, a policy, a range of limits, a service account that does not exist."""

from collections.abc import Iterator
from functools import partial

import pytest

from e2e.support.causes import Cause, Took, applies, deletes, play, record
from e2e.support.kubectl import Kubectl, KubectlError, Object
from e2e.support.services import light
from e2e.support.stories import stories
from tests.support.eventually import eventually

pytestmark = pytest.mark.xdist_group("causes in admission")


def _quota(pods: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": str(pods)}},
    }


def _range(largest: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "range"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": largest}, "default": {"memory": "256Mi"}}]},
    }


def _account(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def _played(cause: Cause, namespace: Kubectl, request: pytest.FixtureRequest) -> Took:
    with stories(namespace) as told:
        took = play(cause, namespace, told)
    record(took, cause, request)
    return took


@pytest.mark.parametrize(
    ("what", "reason", "says", "spec", "before", "cure"),
    [
        (
            "a quota",
            "QuotaExceeded",
            ("small", "used: pods=0", "limited: pods=0", "describe quota"),
            {},
            applies(_quota(0)),
            applies(_quota(5)),
        ),
        (
            "a service account",
            "ServiceAccountMissing",
            ("cloud-reader", "spec.serviceAccountName"),
            {"serviceAccountName": "cloud-reader"},
            None,
            applies(_account("cloud-reader")),
        ),
        (
            "a range of limits",
            "AdmissionRefused",
            ("maximum memory usage per Container is 512Mi", "limit is 1Gi"),
            {},
            applies(_range("512Mi")),
            applies(_range("8Gi")),
        ),
    ],
    ids=["quota", "service-account", "limit-range"],
)
def test_a_pod_that_is_refused_is_said_with_what_refuses_it(  # noqa: PLR0917  # one column of the table each
    namespace: Kubectl,
    request: pytest.FixtureRequest,
    what: str,
    reason: str,
    says: tuple[str, ...],
    spec: Object,
    before: object,
    cure: object,
) -> None:
    body = partial(light, "refused", **spec)
    _played(Cause(f"{what} refuses the pod", body, reason, says, cure, before=before), namespace, request)


@pytest.fixture
def policy(namespace: Kubectl, cluster: Kubectl) -> Iterator[str]:
    """A policy by which the API server refuses every pod of the test's namespace that has no cost centre."""
    name = f"cost-centre-{namespace.namespace[-6:]}"
    group = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace.namespace}}
    rule = {
        "expression": "has(object.metadata.labels) && 'cost-centre' in object.metadata.labels",
        "message": "every pod needs the label cost-centre",
    }
    cluster.apply(
        group
        | {
            "kind": "ValidatingAdmissionPolicy",
            "spec": {"matchConstraints": {"resourceRules": [pods]}, "validations": [rule]},
        },
        group
        | {
            "kind": "ValidatingAdmissionPolicyBinding",
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": here},
            },
        },
    )
    eventually(lambda: _refuses_pods(namespace), within_s=60, every_s=0.5)
    yield name
    subjects = (f"validatingadmissionpolicybinding/{name}", f"validatingadmissionpolicy/{name}")
    cluster.run("delete", *subjects, "--ignore-not-found")


def _refuses_pods(namespace: Kubectl) -> bool:
    container = {
        "name": "any",
        "image": "any",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security}
    try:
        namespace.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}, "spec": spec}, dry_run="server"
        )
    except KubectlError as error:
        return "cost-centre" in str(error)
    return False


def test_a_policy_that_refuses_the_pod_is_said_in_its_own_words(
    namespace: Kubectl, policy: str, request: pytest.FixtureRequest
) -> None:
    cause = Cause(
        "a policy refuses the pod",
        partial(light, "refused"),
        "AdmissionRefused",
        (policy, "every pod needs the label cost-centre"),
        deletes(f"validatingadmissionpolicybinding/{policy}"),
    )
    _played(cause, namespace, request)


def test_another_refusal_that_follows_the_first_is_told_instead_of_it(namespace: Kubectl) -> None:
    namespace.apply(_quota(0))
    body = light("refused", serviceAccountName="cloud-reader")
    namespace.apply(_account("cloud-reader"), body)
    namespace.wait("infsvc/refused", "jsonpath={.status.reason}=QuotaExceeded", 60)

    namespace.run("delete", "serviceaccount/cloud-reader")
    namespace.apply(_quota(5))

    namespace.wait("infsvc/refused", "jsonpath={.status.reason}=ServiceAccountMissing", 60)
