"""Scaling through crashes, other leaders, Deployments that do not follow, and autoscalers of others."""

from typing import Any

import pytest

from modelyard.api import kinds
from modelyard.api.conditions import timestamp
from modelyard.api.kinds import Kind
from modelyard.api.scaling import Scaling
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.autoscaler.deletion_costs import ANNOTATION
from modelyard.controller.cluster.protocol import ForbiddenError
from modelyard.scaling.decision import Decision
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Observation
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import CrashError, InMemoryCluster
from tests.support.running_operator import RunningOperator
from tests.support.scaled_services import SCALING, events, replicas, scaled, service, write
from tests.support.scripted_decisions import ScriptedDecisions


@pytest.fixture
def operator(cluster: InMemoryCluster, decide: ScriptedDecisions) -> RunningOperator:
    return RunningOperator(cluster, decide=decide)


async def restarted(cluster: InMemoryCluster, decide: ScriptedDecisions) -> RunningOperator:
    """A new process, that knows nothing but what the cluster has."""
    cluster.revive()
    operator = RunningOperator(cluster, decide=decide)
    await operator.resync()
    return operator


@pytest.mark.parametrize("goal", [2, 7])
@pytest.mark.parametrize("call", range(9))
async def test_a_process_that_dies_at_any_call_neither_forgets_nor_jumps(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions, goal: int, call: int
) -> None:
    await scaled(cluster, operator, decide, 4)
    decide.desired = goal
    seen: list[int] = []

    hear = cluster.on_change

    def note(type_: str, kind: Kind, body: Object) -> None:
        if kind == kinds.DEPLOYMENT:
            seen.append(body["spec"]["replicas"])
        hear(type_, kind, body)

    cluster.on_change = note
    cluster.crash_at(call)
    try:
        await operator.tick()
    except (CrashError, BaseExceptionGroup):
        operator = await restarted(cluster, decide)
    cluster.revive()
    decide.desired = None
    await operator.run(for_s=5)
    await operator.tick(2)
    final = replicas(cluster)
    assert final in {4, goal}
    assert len({4, *seen, final}) <= 2, "it went there once, and never back"
    history = service(cluster)["status"]["scaling"]["history"]
    assert [(change["from"], change["to"]) for change in history] == ([(4, goal)] if final == goal else []) + [(1, 4)]
    assert "ScaledByOthers" not in [change["reason"] for change in history]


async def test_another_leader_goes_on_from_the_history_and_writes_nothing_at_first(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 4)
    before = service(cluster)["status"]
    other = RunningOperator(cluster, decide=decide)
    await other.resync()
    await other.tick(2)
    assert cluster.writes == []
    assert service(cluster)["status"] == before


async def test_one_that_led_before_takes_up_what_another_decided_meanwhile(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 4)
    operator.autoscaler.forget()
    assert operator.autoscaler.report_of(service(cluster)) is None
    other = RunningOperator(cluster, decide=decide)
    await other.resync()
    decide.desired = 5
    await other.tick(2)
    again = RunningOperator(cluster, decide=decide)
    await again.resync()
    decide.desired = None
    await again.tick()
    history = service(cluster)["status"]["scaling"]["history"]
    assert [(change["from"], change["to"]) for change in history] == [(4, 5), (1, 4)]


async def test_a_number_that_no_history_explains_counts_as_a_change_now(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 4)
    decide.desired = None
    write(cluster, "kubectl", replicas=6)
    other = await restarted(cluster, decide)
    await other.run()
    await other.tick()
    newest = service(cluster)["status"]["scaling"]["history"][0]
    assert (newest["from"], newest["to"], newest["reason"]) == (4, 6, "ScaledByOthers")


async def test_a_target_that_the_deployment_never_follows_expires_with_the_reason(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 3)
    cluster.fail_until_healed("apply", ForbiddenError(403, "Forbidden", "no more than 3"), kinds.DEPLOYMENT)
    decide.desired = 5
    await operator.tick(7)
    assert decide.seen[-1].current == 5
    decide.desired = None
    await operator.tick(3)
    look = decide.seen[-1]
    assert (look.current, look.capacity and look.capacity.achievable) == (3, 3)
    assert look.capacity
    assert "5 replicas were decided on, but the Deployment still has 3: The API server" in look.capacity.message
    assert "no more than 3" in look.capacity.message
    assert service(cluster)["spec"]["replicas"] == 3


@pytest.mark.parametrize("number", [20, 1])
async def test_a_number_that_others_keep_writing_to_the_deployment_is_never_taken_up(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions, number: int
) -> None:
    await scaled(cluster, operator, decide, 4)
    decide.desired = None

    def change(body: Object) -> None:
        body["spec"]["replicas"] = number

    for _ in range(24):
        for _ in range(3):
            cluster.edit(kinds.DEPLOYMENT, KEY, change)
            await operator.run(for_s=5)
        cluster.edit(kinds.DEPLOYMENT, KEY, change)
        await operator.autoscaler.round()
        await operator.run()
    assert {look.current for look in decide.seen[-20:]} == {4}
    body = service(cluster)
    assert (body["spec"]["replicas"], body["status"]["scaling"]["desired"]) == (4, 4)


async def test_a_lower_number_that_is_refused_goes_on_from_what_runs_within_the_bounds(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 6)
    cluster.fail_until_healed("apply", ForbiddenError(403, "Forbidden", "no fewer than 6"), kinds.DEPLOYMENT)
    decide.desired = 5
    await operator.tick(2)
    decide.desired = None
    await operator.tick(12)
    assert decide.seen[-1].current == 6
    assert service(cluster)["spec"]["replicas"] == 6


def autoscaler(kind: Kind, target: str, name: str = "smollm", *, owner: str = "", version: str = "") -> Object:
    """An autoscaler of others, in the service's namespace."""
    metadata: Object = {"namespace": "team-a", "name": f"hpa-{target.lower()}"}
    if owner:
        metadata |= {"name": "keda-hpa", "ownerReferences": [{"kind": owner, "name": "hpa", "uid": "1"}]}
    version = version or (names.API_VERSION if target == names.KIND else "apps/v1")
    of = {"kind": target, "name": name, "apiVersion": version}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata,
        "spec": {"scaleTargetRef": of, "maxReplicas": 3},
    }


async def test_an_autoscaler_of_the_deployment_is_named_without_scaling_too(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    hpa = cluster.put(autoscaler(kinds.HORIZONTAL_POD_AUTOSCALER, "Deployment"))
    await operator.run()
    found = condition(cluster, "ScalingActive")
    assert (found["status"], found["reason"]) == ("False", "ForeignAutoscaler")
    assert found["message"].startswith(
        "HorizontalPodAutoscaler hpa-deployment scales Deployment smollm, whose replicas"
    )
    assert len(events(cluster, "ForeignAutoscaler")) == 1
    cluster.remove(kinds.HORIZONTAL_POD_AUTOSCALER, Key("team-a", hpa["metadata"]["name"]))
    await operator.run()
    assert "ScalingActive" not in [found["type"] for found in service(cluster)["status"]["conditions"]]


@pytest.mark.parametrize("kind", kinds.AUTOSCALERS)
async def test_an_autoscaler_of_the_service_is_right_without_scaling_and_named_with_it(
    cluster: InMemoryCluster, operator: RunningOperator, kind: Kind
) -> None:
    cluster.put(autoscaler(kind, names.KIND))
    cluster.put(factories.service())
    await operator.tick()
    assert "ScalingActive" not in [found["type"] for found in service(cluster)["status"]["conditions"]]
    write(cluster, scaling={**SCALING, "mode": "Recommend"})
    await operator.tick()
    assert condition(cluster, "ScalingActive")["reason"] == "Recommending"
    write(cluster, scaling=SCALING)
    await operator.tick()
    found = condition(cluster, "ScalingActive")
    assert found["reason"] == "ForeignAutoscaler"
    assert f"{kind.kind} hpa-inferenceservice scales InferenceService smollm, and so does" in found["message"]


async def test_of_a_scaled_object_and_the_autoscaler_that_keda_makes_the_former_is_named(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(autoscaler(kinds.SCALED_OBJECT, "Deployment"))
    cluster.put(autoscaler(kinds.HORIZONTAL_POD_AUTOSCALER, "Deployment", owner="ScaledObject"))
    cluster.put(factories.service())
    await operator.run()
    assert condition(cluster, "ScalingActive")["message"].startswith("ScaledObject hpa-deployment ")


@pytest.mark.parametrize(
    "other",
    [
        {"target": "StatefulSet"},
        {"target": "Deployment", "name": "smollm-gateway"},
        {"target": names.KIND, "version": "serving.kserve.io/v1beta1"},
    ],
)
async def test_an_autoscaler_of_something_else_is_no_conflict(
    cluster: InMemoryCluster, operator: RunningOperator, other: dict[str, str]
) -> None:
    cluster.put(autoscaler(kinds.HORIZONTAL_POD_AUTOSCALER, **other))
    cluster.put(factories.service(scaling=SCALING))
    await operator.tick()
    assert condition(cluster, "ScalingActive")["reason"] != "ForeignAutoscaler"


async def test_two_autoscalers_of_one_service_do_not_write_against_each_other(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 5)
    cluster.put(autoscaler(kinds.HORIZONTAL_POD_AUTOSCALER, names.KIND))
    for _ in range(8):
        write(cluster, "kube-controller-manager", replicas=2)
        await operator.tick()
        assert replicas(cluster) == 5
    assert not [call for call in cluster.calls if call.verb == "scale"]


async def test_beside_an_autoscaler_that_wants_more_nothing_is_written_and_the_reason_names_it(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 7)
    cluster.put(autoscaler(kinds.HORIZONTAL_POD_AUTOSCALER, names.KIND))
    write(cluster, "kube-controller-manager", replicas=8)
    await operator.tick(2)
    found = service(cluster)["status"]["scaling"]
    assert (replicas(cluster), found["current"], found["desired"], found["reason"]) == (8, 8, 8, "HeldByOthers")
    assert "HorizontalPodAutoscaler hpa-inferenceservice keeps spec.replicas at 8" in found["message"]
    assert [(change["from"], change["to"]) for change in found["history"]] == [(7, 8), (1, 7)]
    cluster.calls.clear()
    await operator.tick(6)
    assert cluster.calls == []
    cluster.remove(kinds.HORIZONTAL_POD_AUTOSCALER, Key("team-a", "hpa-inferenceservice"))
    await operator.tick(2)
    assert (replicas(cluster), service(cluster)["spec"]["replicas"]) == (7, 7)


async def test_beside_an_autoscaler_that_wants_less_decisions_take_effect_without_a_write_to_the_spec(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 5)
    cluster.put(autoscaler(kinds.HORIZONTAL_POD_AUTOSCALER, names.KIND))
    write(cluster, "kube-controller-manager", replicas=2)
    for goal in (6, 4):
        decide.desired = goal
        await operator.tick(2)
        assert (replicas(cluster), service(cluster)["spec"]["replicas"]) == (goal, 2)
    assert not [call for call in cluster.calls if call.verb == "scale"]


async def test_a_larger_number_that_is_written_again_and_again_is_replaced_once_a_minute(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 4)
    for _ in range(12):
        write(cluster, "argocd-controller", replicas=6)
        await operator.tick()
    assert sum(call.verb == "scale" for call in cluster.calls) == 3


@pytest.mark.parametrize("metadata", [{"annotations": {names.ANNOTATION_PAUSED: "true"}}, {"deletionTimestamp": "x"}])
async def test_a_service_that_is_paused_or_deleted_between_look_and_write_is_not_scaled(
    cluster: InMemoryCluster, decide: ScriptedDecisions, metadata: Object
) -> None:
    def decide_while_it_changes(scaling: Scaling, memory: Memory, look: Observation) -> tuple[Decision, Memory]:
        if decide.desired == 5:
            cluster.put({**service(cluster), "metadata": service(cluster)["metadata"] | metadata})
        return decide(scaling, memory, look)

    operator = RunningOperator(cluster, decide=decide_while_it_changes)
    await scaled(cluster, operator, decide, 4)
    decide.desired = 5
    await operator.autoscaler.round()
    assert not [call for call in cluster.calls if call.verb == "scale"]


async def test_a_cluster_without_keda_is_scaled_like_any_other(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    assert kinds.SCALED_OBJECT in cluster.lacks
    await operator.resync()
    await scaled(cluster, operator, decide, 3)
    assert operator.failures == []


def pod(name: str, **annotations: str) -> Object:
    """A pod that serves."""
    body = factories.pod(name=name, uid=f"uid-{name}", spec={"nodeName": "worker"}, status={"phase": "Running"})
    body["metadata"]["annotations"] = dict(annotations)
    return body


async def test_the_idlest_pods_go_first_and_costs_are_written_for_nothing_else(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 4)
    for name in "abcd":
        cluster.put(pod(name))
    decide.idlest = ("c", "a", "d", "b")
    decide.desired = 5
    await operator.tick(2)
    assert not [call for call in cluster.calls if call.verb == "annotate"]
    decide.desired = 3
    await operator.tick(2)
    costs = {body["metadata"]["name"]: body["metadata"]["annotations"].get(ANNOTATION) for body in
             cluster.see_all(kinds.POD)}  # fmt: skip
    assert costs == {"a": "-2000000001", "b": None, "c": "-2000000002", "d": None}
    first = next(index for index, call in enumerate(cluster.calls) if call.verb == "annotate")
    assert "scale" in [call.verb for call in cluster.calls[first:]]


async def test_a_pod_that_was_chosen_and_stayed_loses_its_cost_once_the_others_are_gone(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    await scaled(cluster, operator, decide, 4)
    for name in "abcd":
        cluster.put(pod(name))
    decide.idlest = ("c", "a", "d", "b")
    decide.desired = 3
    await operator.tick(2)
    decide.desired = None
    cluster.remove(kinds.POD, Key("team-a", "a"))  # one that a drain took, instead of the idlest
    await operator.tick(3)
    costs = {body["metadata"]["name"]: body["metadata"]["annotations"].get(ANNOTATION) for body in
             cluster.see_all(kinds.POD)}  # fmt: skip
    assert costs == {"b": None, "c": "0", "d": None}


async def test_a_policy_that_refuses_costs_hinders_no_scaling_down(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions, caplog: pytest.LogCaptureFixture
) -> None:
    await scaled(cluster, operator, decide, 4)
    for name in "abcd":
        cluster.put(pod(name))
    cluster.fail_until_healed("annotate", ForbiddenError(403, "Forbidden", "no annotations"), kinds.POD)
    decide.idlest = ("c", "a", "d", "b")
    for goal in (3, 2):
        decide.desired = goal
        await operator.tick(2)
        assert replicas(cluster) == goal
    assert caplog.text.count("marked to go first") == 1


@pytest.mark.parametrize("wake", [{"replicas": 1}, {}], ids=["kubectl scale", "annotation"])
async def test_a_service_at_zero_is_woken_and_fifty_wakes_are_one_start(
    cluster: InMemoryCluster, wake: dict[str, Any]
) -> None:
    operator = RunningOperator(cluster)  # by the real decisions
    cluster.put(factories.service(replicas=0, scaling={"minReplicas": 0, "maxReplicas": 2}))
    await operator.run()
    await operator.tick(2)
    assert replicas(cluster) == 0
    for _ in range(50):
        if wake:
            write(cluster, "kubectl", **wake)
        else:
            body = service(cluster)
            body["metadata"]["annotations"] = {names.ANNOTATION_WAKE: timestamp(operator.now())}
            cluster.put(body)
        await operator.tick()
        assert replicas(cluster) == 1
    history = service(cluster)["status"]["scaling"]["history"]
    assert [(change["from"], change["to"]) for change in history] == [(0, 1)]
    assert events(cluster, "ReplicasOverruled") == []
    [note] = events(cluster, "ScaledUp")
    assert note.startswith(f"Scaled from 0 to 1 replicas ({'ScaledByOthers: kubectl' if wake else 'Woken'}). ")


async def test_a_wake_in_the_future_wakes_nothing_and_the_status_names_it(
    cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions
) -> None:
    cluster.put(factories.service(replicas=0, scaling={"minReplicas": 0, "maxReplicas": 2}))
    await operator.run()
    await operator.tick(2)
    body = service(cluster)
    body["metadata"]["annotations"] = {names.ANNOTATION_WAKE: "2031-01-01T00:00:00Z"}
    cluster.put(body)
    await operator.tick(2)
    assert decide.seen[-1].woken_s is None
    assert "2031-01-01T00:00:00Z, is in the future" in service(cluster)["status"]["scaling"]["message"]
    cluster.calls.clear()
    await operator.tick(4)
    assert cluster.writes == []
