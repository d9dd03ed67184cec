"""Prefetching against a real API server: a Job that cannot change, what becomes of it, and a whole round."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard.api import kinds
from modelyard.api.service import Service, parse
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.kubernetes_client import KubernetesCluster
from modelyard.controller.reconcile.apply import Applier
from modelyard.controller.reconcile.decide import Observed, decide, place_of
from modelyard.controller.reconcile.drift import is_as_rendered
from modelyard.controller.reconcile.intent import Intent
from modelyard.controller.reconcile.revert_limits import Reverts
from modelyard.desired import desired
from modelyard.desired.resolve import resolve
from modelyard.prefetch import job as prefetch_job
from modelyard.prefetch.round import Round, job_of
from tests.support.api_client import Client, Object
from tests.support.apiserver import OPERATOR, ApiServer
from tests.support.eventually import eventually
from tests.support.inference_services import minimal
from tests.support.prefetching import node_on
from tests.support.program import allow, started
from tests.support.running_operator import SETTINGS

NOW = datetime(2026, 11, 22, tzinfo=UTC)
THEN = "2026-11-22T12:00:00Z"


@pytest.fixture
def service(admin: Client, namespace: str) -> Service:
    return parse(admin.create(kinds.INFERENCE_SERVICE, prefetching_service(namespace)))


def prefetching_service(namespace: str) -> Object:
    body = minimal(namespace)
    return body | {"spec": body["spec"] | {"cache": {"medium": "NodeLocal", "prefetch": 1}}}


def children(service: Service, *hosts: str) -> list[Object]:
    """The children with a Job for these hosts."""
    resolved = resolve(service, SETTINGS)
    request = prefetch_job.request(resolved)
    assert request is not None
    round_ = Round(fingerprint=request.fingerprint, hosts=hosts, count=1, planned=NOW)
    return [*desired(resolved), prefetch_job.build(resolved, request, round_)]


async def sync(applier: Applier, cluster: KubernetesCluster, service: Service, *hosts: str) -> None:
    """Apply the children with a Job for these hosts, as a reconcile does."""
    intended = tuple(children(service, *hosts))
    there = {place_of(child): await cluster.get(*place_of(child)) for child in intended}
    observed = Observed({}, service, Intent(intended), NOW, None, existing=there)
    await applier.apply(decide(observed))


async def test_a_job_that_was_applied_is_as_it_was_rendered(cluster: KubernetesCluster, service: Service) -> None:
    job = children(service, "a", "b")[-1]
    applied = await cluster.apply(job)
    assert is_as_rendered(job, applied)
    again = await cluster.apply(job)
    assert again["metadata"]["resourceVersion"] == applied["metadata"]["resourceVersion"]


async def test_a_job_for_something_else_takes_the_place_of_one_that_is_there(
    cluster: KubernetesCluster, admin: Client, service: Service
) -> None:
    cache = Cache()
    applier = Applier(cluster, cache, Reverts(), lambda: NOW)
    place = job_of(service.key)
    await sync(applier, cluster, service, "a")
    before = admin.get(kinds.JOB, place.name, place.namespace)
    await sync(applier, cluster, service, "b")
    after = admin.get(kinds.JOB, place.name, place.namespace)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    known = cache.get(kinds.JOB, place)
    assert known is not None
    assert known["metadata"]["uid"] == after["metadata"]["uid"]


async def test_a_job_that_is_deleted_in_the_foreground_is_waited_for(
    apiserver: ApiServer, cluster: KubernetesCluster, admin: Client, service: Service
) -> None:
    cache = Cache()
    applier = Applier(cluster, cache, Reverts(), lambda: NOW)
    place = job_of(service.key)
    await sync(applier, cluster, service, "a")
    apiserver.kubectl("delete", "job", place.name, "-n", place.namespace, "--cascade=foreground", "--wait=false")
    going = admin.get(kinds.JOB, place.name, place.namespace)
    assert "deletionTimestamp" in going["metadata"]
    await sync(applier, cluster, service, "b")
    assert admin.get(kinds.JOB, place.name, place.namespace)["metadata"]["uid"] == going["metadata"]["uid"]
    going["metadata"]["finalizers"] = []  # as the garbage collector does once the pods are gone
    admin.replace(kinds.JOB, going)
    cache.delete(kinds.JOB, going)
    await sync(applier, cluster, service, "b")
    assert admin.get(kinds.JOB, place.name, place.namespace)["metadata"]["uid"] != going["metadata"]["uid"]


def end_well(admin: Client, job: Object, node: str) -> None:
    """What the Job controller and the kubelet write when the Job's pod has ended well on the node."""
    template = job["spec"]["template"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    metadata = {
        "name": "prefetching",
        "namespace": job["metadata"]["namespace"],
        "labels": template["metadata"]["labels"],
        "ownerReferences": [owner],
    }
    pod = admin.create(kinds.POD, {"metadata": metadata, "spec": template["spec"] | {"nodeName": node}})
    admin.replace(kinds.POD, pod | {"status": {"phase": "Succeeded"}}, "status")
    over = [
        {"type": type_, "status": "True", "lastTransitionTime": THEN} for type_ in ("SuccessCriteriaMet", "Complete")
    ]
    status = {
        "startTime": THEN,
        "completionTime": THEN,
        "succeeded": 1,
        "uncountedTerminatedPods": {},
        "conditions": over,
    }
    admin.replace(kinds.JOB, job | {"status": status}, "status")


def prefetching(admin: Client, namespace: str) -> Object | None:
    """The prefetch that the service's status reports; None while it reports none."""
    status: Object = admin.get(kinds.INFERENCE_SERVICE, "smollm", namespace).get("status") or {}
    return status.get("prefetch")


def scaled(body: Object) -> Object:
    return body | {"spec": {**body["spec"], "replicas": 2}}


def test_the_job_of_a_round_that_is_over_stays_and_is_left_alone(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    allow(apiserver)
    node_on(admin, "to-be-warm")
    try:
        program = started(apiserver, OPERATOR, tmp_path)
        with program.process:
            eventually(program.is_ready, within_s=60)
            admin.create(kinds.INFERENCE_SERVICE, prefetching_service(namespace))
            [job] = eventually(lambda: admin.list(kinds.JOB, namespace), lambda jobs: len(jobs) == 1)
            end_well(admin, job, "to-be-warm")
            over = admin.get(kinds.JOB, job["metadata"]["name"], namespace)["metadata"]
            found = eventually(lambda: prefetching(admin, namespace), lambda status: "finishedAt" in status)
            assert (found["desired"], found["ready"], found["reason"], found["finishedAt"]) == (
                1,
                1,
                "Prefetched",
                THEN,
            )
            assert found["nodes"] == [{"name": "to-be-warm", "state": "Ready"}]
            admin.replace(kinds.INFERENCE_SERVICE, scaled(admin.get(kinds.INFERENCE_SERVICE, "smollm", namespace)))
            eventually(lambda: admin.get(kinds.DEPLOYMENT, "smollm", namespace)["spec"]["replicas"] == 2)
            [kept] = admin.list(kinds.JOB, namespace)
            assert kept["metadata"]["resourceVersion"] == over["resourceVersion"]
            program.ends_without_trouble()
    finally:
        apiserver.kubectl("delete", "node", "to-be-warm")
