"""What the operator reports: a status once per change, events on transitions, and when it looks again."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.fetch_report import FetchReport, Phase
from modelyard.controller.cluster.protocol import ConflictError, ForbiddenError
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator


def status(cluster: InMemoryCluster) -> Object:
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    found: Object = service["status"]
    return found


def ready(cluster: InMemoryCluster) -> Object:
    return condition(cluster, "Ready")


def fetching_pod(cluster: InMemoryCluster) -> Object:
    """A pod of the Deployment's template, whose fetcher runs and answers at 10.0.0.1."""
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    pod = factories.pod(
        uid="uid-of-the-pod",
        spec={"nodeName": "worker", "containers": [{"name": names.CONTAINER_ENGINE}]},
        status={
            "phase": "Pending",
            "podIP": "10.0.0.1",
            "initContainerStatuses": [
                {"name": names.CONTAINER_FETCH, "state": {"running": {"startedAt": "2026-01-01T00:16:00Z"}}}
            ],
        },
    )
    pod["metadata"]["annotations"] = deployment["spec"]["template"]["metadata"]["annotations"]
    return pod


async def test_a_status_is_written_once_per_change(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(factories.service())
    await operator.run(for_s=10)
    assert [call.verb for call in cluster.calls].count("patch_status") == 1
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=2))
    await operator.run(for_s=10)
    assert [call.verb for call in cluster.calls].count("patch_status") == 2
    assert status(cluster)["observedGeneration"] == 2


async def test_events_follow_the_status_that_they_report(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(factories.service())
    await operator.run()
    verbs = [call.verb for call in cluster.calls if call.verb in ("patch_status", "create_event")]
    assert verbs[0] == "patch_status"
    assert len(cluster.events) >= 1
    assert {event["regarding"]["uid"] for event in cluster.events} == {factories.UID}


async def test_a_transition_is_reported_once(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(factories.service())
    await operator.run()
    events_before = len(cluster.events)
    await operator.resync()
    await operator.run(for_s=60)
    assert len(cluster.events) == events_before


async def test_an_invalid_spec_is_reported_and_makes_no_call_until_it_changes(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(engine={"type": "abacus"}))
    await operator.run()
    assert ready(cluster)["reason"] == "UnknownEngine"
    calls = len(cluster.calls)
    await operator.run(for_s=600)
    assert len(cluster.calls) == calls
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(engine={"type": "vllm"}))
    await operator.run()
    assert cluster.see(kinds.DEPLOYMENT, KEY) is not None


async def test_a_spec_that_a_newer_crd_let_pass_is_reported(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(replicas="many"))
    await operator.run()
    assert ready(cluster)["reason"] == "InvalidSpec"
    assert "replicas" in ready(cluster)["message"]


async def test_a_service_whose_spec_became_invalid_keeps_its_children(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    before = cluster.see(kinds.DEPLOYMENT, KEY)
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(engine={"type": "abacus"}))
    await operator.run()
    assert cluster.see(kinds.DEPLOYMENT, KEY) == before


async def test_the_progress_of_a_running_fetcher_is_read_repeatedly(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    cluster.put(fetching_pod(cluster))
    operator.fetch_states["10.0.0.1"] = FetchReport(Phase.DOWNLOADING, bytes_done=10**9, bytes_total=4 * 10**9)
    await operator.run(for_s=1)
    first = ready(cluster)["message"]
    operator.fetch_states["10.0.0.1"] = FetchReport(
        phase=Phase.DOWNLOADING, bytes_done=3 * 10**9, bytes_total=4 * 10**9
    )
    await operator.run(for_s=10)
    assert ready(cluster)["reason"] == "Fetching"
    assert ready(cluster)["message"] != first


async def test_a_service_that_is_deleted_while_its_status_is_written_fails_nothing(
    cluster: InMemoryCluster,
) -> None:
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    operator.deliver()
    cluster.remove(kinds.INFERENCE_SERVICE, KEY)
    await operator.run()
    assert operator.failures == []


async def test_a_successor_of_the_same_name_never_gets_the_status_of_its_predecessor(
    cluster: InMemoryCluster,
) -> None:
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service(uid="uid-of-the-first"))
    operator.deliver()
    cluster.remove(kinds.INFERENCE_SERVICE, KEY)
    successor = cluster.put(factories.service(uid="uid-of-the-second"))
    await operator.run()
    assert cluster.see(kinds.INFERENCE_SERVICE, KEY) == successor


async def test_what_befell_a_predecessors_deployment_is_not_reported_of_its_successor(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
    leftover = factories.child(
        owner_uid="uid-of-the-first", spec={"replicas": 1}, status={"conditions": [failure], "observedGeneration": 1}
    )
    cluster.put(leftover)
    cluster.put(factories.service(uid="uid-of-the-second"))
    await operator.run()
    assert "quota" not in str(status(cluster)["conditions"])


def refuse(cluster: InMemoryCluster, since: str) -> None:
    """What the Deployment's controller reports when no pod may be made."""
    message = 'pods "smollm-5d9-abc" is forbidden: exceeded quota: gpus'
    failure = {"type": "ReplicaFailure", "status": "True", "message": message, "lastTransitionTime": since}
    cluster.edit(kinds.DEPLOYMENT, KEY, lambda body: body.update(status={"conditions": [failure]}))


async def test_pods_that_are_refused_are_tried_again_every_half_minute_until_they_come(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    refuse(cluster, since="2026-01-01T00:00:00Z")
    await operator.run(for_s=85)
    assert ready(cluster)["reason"] == "QuotaExceeded"
    retries = [call for call in cluster.calls if call.verb == "annotate"]
    assert retries == [("annotate", kinds.DEPLOYMENT, KEY)] * 3
    cluster.edit(kinds.DEPLOYMENT, KEY, lambda body: body.update(status={}))
    await operator.run(for_s=95)
    assert len([call for call in cluster.calls if call.verb == "annotate"]) == 3
    assert not [event for event in cluster.events if event["reason"] == "Repaired"]


async def test_a_deployment_that_goes_while_its_pods_are_tried_again_fails_nothing(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    cluster.fail_next("annotate", ConflictError(409, "Conflict", "another uid"))
    refuse(cluster, since="2025-12-31T00:00:00Z")
    await operator.run(for_s=1)
    assert operator.failures == []
    assert ready(cluster)["reason"] == "QuotaExceeded"


async def test_a_cluster_that_refuses_the_deployment_too_is_reported_all_the_same(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    refuse(cluster, since="2025-12-31T00:00:00Z")
    cluster.fail_until_healed("annotate", ForbiddenError(403, "Forbidden", "admission webhook policy denied it"))
    await operator.run(for_s=1)
    assert operator.failures == []
    assert ready(cluster)["reason"] == "QuotaExceeded"


async def test_a_restart_repeats_no_event(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(factories.service())
    await operator.run()
    refuse(cluster, since="2026-01-01T00:00:00Z")
    await operator.run(for_s=1)
    events_before = len(cluster.events)
    assert "QuotaExceeded" in [event["reason"] for event in cluster.events]
    restarted = RunningOperator(cluster)
    await restarted.resync()
    await restarted.run(for_s=20)
    assert len(cluster.events) == events_before


async def test_an_argument_that_needs_other_pods_is_refused_by_name_before_anything_is_written(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(engine={"type": "vllm", "args": ["--nnodes=2"]}))
    await operator.run()
    accepted = condition(cluster, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "EngineArgumentRefused")
    assert "--nnodes=2" in accepted["message"]
    assert cluster.see(kinds.DEPLOYMENT, KEY) is None
