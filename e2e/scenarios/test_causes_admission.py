"""Pods that the API server refuses: a quota, a policy, a range of limits, a service account that does not exist."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from e2e.support.causes import Cause, applies, deletes, play_alone
from e2e.support.kubectl import Kubectl, KubectlError, Object
from e2e.support.services import light
from tests.support.eventually import eventually


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


def _service(**spec: Any) -> partial[Object]:
    return partial(light, "refused", **spec)


CAUSES = (
    Cause(
        "a quota that is used up",
        _service(),
        "QuotaExceeded",
        ("small", "used: pods=0", "limited: pods=0", "describe quota"),
        applies(_quota(5)),
        before=applies(_quota(0)),
    ),
    Cause(
        "a service account that is not there",
        _service(serviceAccountName="cloud-reader"),
        "ServiceAccountMissing",
        ("cloud-reader", "spec.serviceAccountName"),
        applies(_account("cloud-reader")),
    ),
    Cause(
        "a range of limits below what the fetcher needs",
        _service(),
        "AdmissionRefused",
        ("maximum memory usage per Container is 256Mi", "limit is 512Mi"),
        applies(_range("8Gi")),
        before=applies(_range("256Mi")),
    ),
)


@pytest.mark.parametrize("cause", CAUSES, ids=str)
def test_a_pod_that_is_refused_is_reported_with_what_refuses_it(
    namespace: Kubectl, cause: Cause, request: pytest.FixtureRequest
) -> None:
    play_alone(cause, namespace, request)


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


def test_a_policy_that_refuses_the_pod_is_reported_in_its_own_words(
    namespace: Kubectl, policy: str, request: pytest.FixtureRequest
) -> None:
    cause = Cause(
        "a policy refuses the pod",
        partial(light, "refused"),
        "AdmissionRefused",
        (policy, "every pod needs the label cost-centre"),
        deletes(f"validatingadmissionpolicybinding/{policy}"),
    )
    play_alone(cause, namespace, request)


def test_another_refusal_that_follows_the_first_is_reported_instead_of_it(namespace: Kubectl) -> None:
    namespace.apply(_quota(0))
    body = light("refused", serviceAccountName="cloud-reader")
    namespace.apply(_account("cloud-reader"), body)
    namespace.wait("infsvc/refused", "jsonpath={.status.reason}=QuotaExceeded", 60)

    namespace.run("delete", "serviceaccount/cloud-reader")
    namespace.apply(_quota(5))

    namespace.wait("infsvc/refused", "jsonpath={.status.reason}=ServiceAccountMissing", 60)
