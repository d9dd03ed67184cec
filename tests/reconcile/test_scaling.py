"""Who decides how many replicas run, from the service's file to its Deployment."""

import json

import pytest

from modelyard.api import kinds
from modelyard.api.scaling import Scaling
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.controller.cluster.protocol import ConflictError, ForbiddenError
from modelyard.scaling.decision import Decision
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Observation
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster, unavailable
from tests.support.running_operator import RunningOperator
from tests.support.scaled_services import SCALING, events, replicas, scaled, service, write
from tests.support.scripted_decisions import ScriptedDecisions


@pytest.fixture
def operator(cluster: InMemoryCluster, decide: ScriptedDecisions) -> RunningOperator:
    return RunningOperator(cluster, decide=decide)


@pytest.mark.parametrize("mode", ["Auto", "Recommend"])
async def test_a_file_that_brings_scaling_keeps_what_runs_where_its_line_stays(
    cluster: InMemoryCluster, operator: RunningOperator, mode: str
) -> None:
    cluster.put(factories.service(replicas=6))
    await operator.run()
    write(cluster, scaling={**SCALING, "mode": mode})
    await operator.tick(3)
    assert replicas(cluster) == 6


async def test_a_file_that_gives_its_replicas_up_for_scaling_keeps_what_runs(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(replicas=6))
    await operator.run()
    write(cluster, replicas=None, scaling=SCALING)
    await operator.run()
    assert replicas(cluster) == 6
    await operator.tick()
    assert (replicas(cluster), service(cluster)["spec"]["replicas"]) == (6, 6)


async def test_an_adopted_deployment_keeps_its_replicas(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(factories.service(replicas=6))
    await operator.run()
    cluster.remove(kinds.INFERENCE_SERVICE, KEY)
    orphan = factories.child(kinds.DEPLOYMENT, owner_uid=None, spec={"replicas": 4})
    cluster.put(orphan)
    cluster.put(factories.service(uid="another", scaling=SCALING))
    await operator.run()
    assert replicas(cluster) == 4


async def test_a_decision_goes_through_the_scale_subresource_into_deployment_status_and_an_event(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    cluster.put(factories.service(scaling=SCALING))
    await operator.run()
    assert condition(cluster, "ScalingActive")["reason"] == "AwaitingDecision"
    decide.desired = 3
    await operator.tick(2)
    body = service(cluster)
    assert (replicas(cluster), body["spec"]["replicas"]) == (3, 3)
    [owner] = body["metadata"]["managedFields"]
    assert owner["manager"] == names.SCALING_FIELD_MANAGER
    found = body["status"]["scaling"]
    assert (found["mode"], found["current"], found["desired"], found["reason"]) == ("Auto", 3, 3, "DemandRose")
    assert found["inputs"] == [{"signal": "demand", "value": "2.5", "replicas": 3}]
    assert found["history"] == [{"time": "2026-01-01T00:16:40Z", "from": 1, "to": 3, "reason": "DemandRose"}]
    assert condition(cluster, "ScalingActive")["status"] == "True"
    assert events(cluster, "ScaledUp") == ["Scaled from 1 to 3 replicas (DemandRose). The demand needs 3."]


async def test_fewer_replicas_take_effect_once_the_status_has_them(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 4)
    decide.desired, decide.reason = 3, "DemandFell"
    await operator.tick()
    order = [(call.verb, call.kind.kind) for call in cluster.writes if call.verb != "create_event"]
    assert order == [("scale", names.KIND), ("patch_status", names.KIND), ("apply", "Deployment"), *order[3:]]
    assert [verb for verb, _ in order].count("scale") == 1
    assert replicas(cluster) == 3
    assert events(cluster, "ScaledDown") == ["Scaled from 4 to 3 replicas (DemandFell). The demand needs 3."]


async def test_ticks_that_change_nothing_write_nothing(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 3)
    for number in range(10):
        decide.demand = 2.5 + number / 100
        await operator.tick()
    assert cluster.writes == []


async def test_figures_that_change_are_reported_anew_after_some_minutes(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 3)
    decide.demand = 2.75
    await operator.tick(25)
    assert [call.verb for call in cluster.writes] == ["patch_status"]
    assert service(cluster)["status"]["scaling"]["inputs"][0]["value"] == "2.75"


async def test_a_recommendation_is_reported_and_nothing_is_scaled(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    cluster.put(factories.service(replicas=2, scaling={**SCALING, "mode": "Recommend"}))
    await operator.run()
    decide.desired = 5
    await operator.tick(3)
    assert (replicas(cluster), service(cluster)["spec"]["replicas"]) == (2, 2)
    assert not [call for call in cluster.calls if call.verb in {"scale", "annotate"}]
    assert service(cluster)["status"]["scaling"]["desired"] == 5
    assert condition(cluster, "ScalingActive")["reason"] == "Recommending"
    assert events(cluster, "ScaledUp") == []


async def test_a_recommendation_that_becomes_automatic_goes_on_from_what_runs(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    cluster.put(factories.service(replicas=2, scaling={**SCALING, "mode": "Recommend"}))
    await operator.run()
    decide.desired = 7
    await operator.tick(2)
    decide.desired = None
    write(cluster, scaling=SCALING)
    await operator.tick(2)
    assert (replicas(cluster), service(cluster)["status"]["scaling"]["desired"]) == (2, 2)


async def test_a_file_with_fewer_replicas_takes_none_away_and_its_writer_is_named(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 6)
    decide.desired = None
    write(cluster, "argocd-controller", replicas=1)
    await operator.run()
    assert replicas(cluster) == 6
    [note] = events(cluster, "ReplicasOverruled")
    assert note.startswith("argocd-controller set spec.replicas to 1. Scaling decides on the number, so 6 run on.")
    await operator.tick()
    assert (replicas(cluster), service(cluster)["spec"]["replicas"]) == (6, 6)
    assert len(events(cluster, "ReplicasOverruled")) == 1


async def test_one_that_writes_its_number_again_and_again_is_answered_once_a_minute(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 6)
    decide.desired = None
    for _ in range(12):
        write(cluster, "argocd-controller", replicas=1)
        await operator.tick()
        assert replicas(cluster) == 6
    assert sum(call.verb == "scale" for call in cluster.calls) == 3
    assert len(events(cluster, "ReplicasOverruled")) == 1


async def test_more_replicas_by_kubectl_run_at_once_and_the_next_decision_goes_on_from_them(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 3)
    decide.desired = None
    write(cluster, "kubectl", replicas=5)
    await operator.run()
    assert replicas(cluster) == 5
    [note] = events(cluster, "ReplicasOverruled")
    assert note.startswith("kubectl set spec.replicas to 5. They run until the next scaling decision.")
    await operator.tick(2)
    assert decide.seen[-1].current == 5
    assert service(cluster)["status"]["scaling"]["desired"] == 5
    [note] = events(cluster, "ScaledUp")
    assert note.startswith("Scaled from 3 to 5 replicas (ScaledByOthers: kubectl). ")


async def test_scaling_that_goes_leaves_its_number_and_no_trace_in_the_status(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 5)
    write(cluster, scaling=None)
    await operator.tick(2)
    assert replicas(cluster) == 5
    body = service(cluster)
    assert "scaling" not in body["status"]
    assert "ScalingActive" not in [found["type"] for found in body["status"]["conditions"]]
    decide.desired = None
    write(cluster, scaling=SCALING)
    await operator.tick(2)
    assert (replicas(cluster), service(cluster)["status"]["scaling"]["desired"]) == (5, 5)


NO_REPLICAS = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": {"model": {"uri": "hf://x"}}})}
OF_KUBECTL = {"manager": "kubectl-client-side-apply", "operation": "Update"}


@pytest.mark.parametrize("off", [None, {**SCALING, "mode": "Recommend"}], ids=["off", "Recommend"])
@pytest.mark.parametrize("by", ["server-side", "client-side"])
async def test_a_file_that_drops_scaling_and_replicas_at_once_keeps_what_runs(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions, by: str, off: Object | None
) -> None:
    await scaled(cluster, operator, decide, 6)
    body = service(cluster)
    body["spec"] = {**body["spec"], "replicas": 1, "scaling": off}
    if off is None:
        del body["spec"]["scaling"]
    owner: Object = OF_KUBECTL | {"fieldsV1": {"f:spec": {"f:replicas": {}}}}
    body["metadata"]["managedFields"] = [owner] if by == "client-side" else []
    body["metadata"]["annotations"] = NO_REPLICAS if by == "client-side" else {}
    cluster.put(body)
    await operator.run(for_s=5)
    assert (replicas(cluster), service(cluster)["spec"]["replicas"]) == (6, 6)
    assert not operator.failures
    await operator.tick(2)
    write(cluster, replicas=2)
    await operator.run()
    assert replicas(cluster) == 2, "a number that is written counts"


async def test_a_number_in_the_file_that_drops_scaling_counts(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 6)
    write(cluster, scaling=None, replicas=1)
    await operator.run()
    assert replicas(cluster) == 1


async def test_replicas_that_cannot_be_kept_hold_nothing_up(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 6)
    cluster.fail_until_healed("scale", ForbiddenError(403, "Forbidden", "no scaling"))
    write(cluster, scaling=None, replicas=None)
    await operator.run()
    assert replicas(cluster) == 1


@pytest.mark.parametrize("off", [None, {**SCALING, "mode": "Recommend"}], ids=["off", "Recommend"])
async def test_scaling_that_goes_and_returns_within_a_tick_goes_on_from_what_runs(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions, off: Object | None
) -> None:
    await scaled(cluster, operator, decide, 5)
    write(cluster, scaling=off, replicas=2)
    await operator.run()
    assert replicas(cluster) == 2
    write(cluster, scaling=SCALING)
    await operator.run()
    decide.desired = None
    await operator.tick(2)
    assert (replicas(cluster), service(cluster)["status"]["scaling"]["desired"]) == (2, 2)


@pytest.mark.parametrize("error", [unavailable(), ConflictError(409, "Conflict", "x")])
async def test_a_decision_that_cannot_be_written_is_made_anew(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions, error: BaseException
) -> None:
    await scaled(cluster, operator, decide, 3)
    decide.desired = 4
    cluster.fail_next("scale", error)
    await operator.tick()
    assert (replicas(cluster), service(cluster)["status"]["scaling"]["desired"]) == (3, 3)
    await operator.tick()
    assert (replicas(cluster), service(cluster)["status"]["scaling"]["desired"]) == (4, 4)
    assert len(service(cluster)["status"]["scaling"]["history"]) == 2


async def test_a_decision_that_a_policy_refuses_is_reported_with_its_words(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 3)
    decide.desired = 4
    cluster.fail_until_healed("scale", ForbiddenError(403, "Forbidden", "no more than 3 in this namespace"))
    await operator.tick(6)
    found = service(cluster)["status"]["scaling"]
    assert (replicas(cluster), found["desired"], found["reason"]) == (3, 3, "ScaleRefused")
    assert "rejected 4 replicas: no more than 3 in this namespace." in found["message"]
    cluster.heal()
    await operator.tick(2)
    assert (replicas(cluster), service(cluster)["status"]["scaling"]["desired"]) == (4, 4)


async def test_the_condition_names_what_is_unknown(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 3)
    decide.desired, decide.reason = None, "MetricsUnavailable"
    decide.unknown = ("smollm-0: http://10.0.0.1:8000/metrics has no metric vllm:num_requests_waiting",)
    await operator.tick()
    found = condition(cluster, "ScalingActive")
    assert (found["status"], found["reason"]) == ("False", "MetricsUnavailable")
    assert "http://10.0.0.1:8000/metrics has no metric vllm:num_requests_waiting" in found["message"]
    assert len(events(cluster, "MetricsUnavailable")) == 1
    decide.reason = "MetricsIncomplete"
    await operator.tick(5)
    found = condition(cluster, "ScalingActive")
    assert (found["status"], found["reason"]) == ("True", "Scaling")
    assert "Not known: smollm-0: http://10.0.0.1:8000/metrics has no metric" in found["message"]
    decide.reason, decide.unknown = "Steady", ()
    await operator.tick(5)
    assert condition(cluster, "ScalingActive")["status"] == "True"


async def test_the_condition_of_a_paused_and_of_a_refused_service_has_why_it_is_not_scaled(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 3)
    write(cluster, scaling={**SCALING, "source": "Prometheus"})
    decide.desired = 4
    await operator.tick(2)
    found = condition(cluster, "ScalingActive")
    assert (found["status"], found["reason"]) == ("Unknown", "NoPrometheus")
    write(cluster, scaling=SCALING)
    body = service(cluster)
    body["metadata"]["annotations"] = {names.ANNOTATION_PAUSED: "true"}
    cluster.put(body)
    await operator.tick(2)
    assert (condition(cluster, "ScalingActive")["reason"], replicas(cluster)) == ("Paused", 3)


async def test_a_spec_that_is_refused_is_not_scaled_on_paper(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 3)
    write(cluster, engine={"args": ["--port=9000"]})
    await operator.run()
    assert condition(cluster, "Accepted")["reason"] == "EngineArgumentRefused"
    decide.desired = 6
    await operator.tick(12)
    body = service(cluster)
    assert (replicas(cluster), body["spec"]["replicas"], body["status"]["scaling"]["desired"]) == (3, 3, 3)
    assert events(cluster, "ScaledUp") == []
    write(cluster, engine=None)
    await operator.tick(2)
    assert replicas(cluster) == 6


async def test_scale_has_a_selector_at_zero_and_counts_nothing(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    cluster.put(factories.service(scaling={"minReplicas": 0, "maxReplicas": 2}))
    await operator.run()
    decide.desired = 0
    await operator.tick(2)
    found = service(cluster)["status"]
    assert (replicas(cluster), found["replicas"]) == (0, 0)
    assert found["selector"] == f"{names.LABEL_SERVICE}=smollm,{names.LABEL_APP_COMPONENT}=engine"
    assert condition(cluster, "Ready")["reason"] == "ScaledToZero"


async def test_a_defect_in_one_services_case_ends_no_other_decision(
    cluster: InMemoryCluster, caplog: pytest.LogCaptureFixture
) -> None:
    decide = ScriptedDecisions(3)

    def fails_for_one(scaling: Scaling, memory: Memory, observation: Observation) -> tuple[Decision, Memory]:
        if scaling.max_replicas == 4:
            raise ZeroDivisionError
        return decide(scaling, memory, observation)

    operator = RunningOperator(cluster, decide=fails_for_one)
    cluster.put(factories.service(name="broken", uid="uid-2", scaling={"maxReplicas": 4}))
    cluster.put(factories.service(scaling=SCALING))
    await operator.run()
    await operator.tick(2)
    assert replicas(cluster) == 3
    assert "ZeroDivisionError" in caplog.text
