"""What one pod's facts mean: the one most relevant Explanation.

A pod is examined from its first step to its last: the node that has it, the scheduler, what the kubelet prepares, the
fetcher, the engine. The first unfinished step explains the pod. A failure stays in the status until an attempt gets
further than the failed one, so that a reason does not come and go with every retry.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelyard.api.conditions import Explanation, amount, explanation_of, sentence, timestamp
from modelyard.api.reasons import Reasons
from modelyard.api.service import Key
from modelyard.api.status import StartupStatus
from modelyard.contract import fetch_report, names
from modelyard.contract.fetch_report import FetchReport, Phase
from modelyard.observe.facts.pods import Ended, PodEvent, PodFacts, Stage
from modelyard.observe.facts.service import SILENCE_S, Facts
from modelyard.observe.reasons import csi_driver
from modelyard.observe.reasons.crash_loops import CRASH_LOOP_RESTARTS, NO_FAILURE, settling_s
from modelyard.observe.reasons.engine_errors import classify
from modelyard.observe.reasons.kubelet import from_events, not_created, preparing_step, with_next_try
from modelyard.observe.reasons.model_repository import is_awaited, unready_models
from modelyard.observe.reasons.other_containers import awaited_container, before_the_engine, beside_the_engine
from modelyard.observe.reasons.scheduling import scheduling_refusal
from modelyard.observe.reasons.startup_times import pace
from modelyard.observe.target import Target

RESTART_LAG_S = 10.0
"""When Ready turns false within this time after a run began, the end of the former run is the cause. A run that was
ready itself loses it later: its readiness probe must fail several times."""

_BUDGET_SLACK_SHARE = 0.1
_BUDGET_SLACK_S = 5.0
"""A run that the kubelet ended counts as a start that timed out when it took the whole budget, give or take this share
of it and one period of the start-up probe: the first probe comes at once, so 10 s with a period of 5 s were seen to end
after 8 s. A run that ended later had been ready."""

NODE_LAG_S = 10.0
"""A pod younger than this may run on a node that the watch has not delivered yet."""

_ENDED_BY_KUBELET = frozenset({137, 143})

PROGRESS_UNKNOWN = "progress unknown"

_SIGKILLED = 137
_KILLED = (
    "it was killed, and Kubernetes reports no cause: usually the kernel, for lack of memory (spec.resources), or the "
    "kubelet, because the liveness probe failed"
)

_EXIT_CODE_0 = (
    ". Exit code 0 is not success here: vLLM exits with 0 when its engine core dies, usually out of memory or because "
    "of a device error"
)

_STAGE_WORDS = {
    Stage.PREPARING: "still being prepared by its node",
    Stage.FETCHING: "still fetching the model",
    Stage.STARTING: "still loading the model",
    Stage.STARTED: "still failing its readiness probe",
}


@dataclass(frozen=True)
class PodContext:
    """The context for explaining a pod. ``held``: the explanations that the stored status has, by reason;
    they stay where the cause cannot be read this time. ``usual``: what the last start took. ``old_pods_serve``: a
    rollout is under way.
    """

    key: Key
    target: Target | None
    facts: Facts
    held: Mapping[str, Explanation]
    usual: StartupStatus | None
    old_pods_serve: bool
    now: datetime


def explain(pod: PodFacts, context: PodContext) -> Explanation | None:
    """Why ``pod`` does not answer; None when it does."""
    found = next((e for step in _STEPS if (e := step(pod, context))), None)
    if found and not found.is_problem and pod.stage in _STAGE_WORDS:
        return _start_timeout(pod, context) or found
    return found


def answers(pod: PodFacts, now: datetime) -> bool:
    """Whether ``pod`` is ready for requests to all its models, and has not just come up from a failure."""
    if not (pod.live and pod.ready) or is_awaited(pod, now) or unready_models(pod):
        return False
    return settling_s(pod, now) <= 0


def start_deadline(pod: PodFacts, target: Target | None) -> datetime | None:
    """When ``pod`` must have got further; None while nothing limits it.

        A running engine has the whole budget, as its start-up probe gives it; being prepared has as much. A fetch whose
    progress is known takes the time that its bytes need.
    """
    if target is None or (pod.stage is Stage.FETCHING and pod.fetch_state):
        return None
    begun = pod.engine.running_since or pod.begun
    return begun + timedelta(seconds=target.startup_timeout_s) if begun else None


def _start_timeout(pod: PodFacts, context: PodContext) -> Explanation | None:
    deadline = start_deadline(pod, context.target)
    if not (deadline and context.target and context.now >= deadline):
        return None
    awaited = awaited_container(pod)
    return Reasons.START_TIMEOUT.explain(
        budget_s=context.target.startup_timeout_s,
        stage=f"still waiting for container {awaited.name}" if awaited else _STAGE_WORDS[pod.stage],
        namespace=context.key.namespace,
        pod=pod.name,
    )


def _given_up(pod: PodFacts, context: PodContext) -> Explanation | None:
    """The kubelet or a controller has given the whole pod up (pod phase Failed; Kubernetes' pod life cycle page)."""
    if pod.phase != "Failed":
        return None
    cause = sentence(pod.failure_message or pod.failure)
    if pod.failure == "Evicted":
        return Reasons.EVICTED.explain(node=pod.node, cause=cause)
    if pod.failure in {"NodeLost", "Shutdown", "NodeShutdown", "Terminated"}:
        return Reasons.NODE_UNAVAILABLE.explain(node=pod.node, cause=cause)
    return Reasons.NODE_REFUSED.explain(node=pod.node or "?", cause=cause, devices=_devices(pod, context))


def _devices(pod: PodFacts, context: PodContext) -> str:
    """What the node that refused ``pod`` has of the accelerators, where some of them are unhealthy."""
    node = context.facts.hosts.get(pod.node)
    if not (node and context.target and node.present > node.offered):
        return ""
    resource = context.target.devices.resource
    return f"It has {node.present} {resource}, {node.present - node.offered} of them unhealthy."


def _node_gone(pod: PodFacts, context: PodContext) -> Explanation | None:
    if pod.node not in context.facts.hosts:
        return None
    node = context.facts.hosts[pod.node]
    if node.ready if node else age_s(pod, context.now) < NODE_LAG_S:
        return None
    cause = sentence(node.why_unready) if node else "it is no longer part of the cluster"
    return Reasons.NODE_UNAVAILABLE.explain(node=pod.node, cause=cause)


def _unscheduled(pod: PodFacts, context: PodContext) -> Explanation | None:
    if pod.stage is not Stage.UNSCHEDULED:
        return None
    if not pod.refused:
        return _not_looked_at(pod, context.now)
    facts = context.facts
    return scheduling_refusal(
        pod, context.key, context.target, facts.nodes, facts.holders, beside_old_pods=context.old_pods_serve
    )


def _not_looked_at(pod: PodFacts, now: datetime) -> Explanation:
    """The scheduler has no verdict yet: that takes long only where a claim waits for its provisioner."""
    claims = ", ".join(pod.claims) if age_s(pod, now) > SILENCE_S else ""
    hint = f" Claim {claims} may be waiting for its provisioner: see kubectl describe pvc." if claims else ""
    return Reasons.SCHEDULING.explain(hint=hint)


def age_s(pod: PodFacts, now: datetime) -> float:
    """Seconds since ``pod`` was created."""
    return (now - pod.created).total_seconds() if pod.created else 0.0


def _before_the_engine(pod: PodFacts, context: PodContext) -> Explanation | None:
    return before_the_engine(pod, context.key.namespace, context.held, context.now)


def _beside_the_engine(pod: PodFacts, context: PodContext) -> Explanation | None:
    return beside_the_engine(pod, context.key.namespace, context.held, context.now)


def _prepared(pod: PodFacts, context: PodContext) -> Explanation | None:
    for container in (pod.fetch, pod.engine):
        if found := not_created(container, pod, context.key.namespace, context.held):
            return found
    if pod.stage is not Stage.PREPARING:
        return None
    registered = context.facts.registered
    if found := csi_driver.missing(pod, registered, context.now):
        return found
    step = csi_driver.awaited(pod, registered)
    if not step and (found := from_events(pod, context.key.namespace)):
        return found
    so_far = pace(pod.begun, context.now, context.usual.prepare_seconds if context.usual else None)
    return Reasons.PREPARING.explain(node=pod.node or "?", pace=so_far, step=step or preparing_step(pod))


def _fetched(pod: PodFacts, context: PodContext) -> Explanation | None:
    if pod.stage is not Stage.FETCHING:
        return None
    state = pod.fetch_state if pod.fetch.running else None
    if state and state.error:
        return _fetch_failure(pod, context, state)
    over = pod.fetch.ended or pod.fetch.last
    gets_further = state is not None and state.phase in fetch_report.BEYOND_LISTING
    is_unread = pod.fetch.running and not state and _runs_s(pod.fetch.running_since, context.now) > SILENCE_S
    if over and over.exit_code != 0 and over.reason not in NO_FAILURE and not gets_further:
        found = with_next_try(_fetch_ended(pod, context, over), pod.fetch)
        return _with_policy(found) if is_unread else found
    so_far = pace(pod.fetch.running_since, context.now, context.usual.fetch_seconds if context.usual else None)
    if pod.fetch.running and not state:
        of_fetching = (*fetch_report.Reason, Reasons.FETCH_FAILED.name, Reasons.FETCHING.name)
        held = (context.held[reason] for reason in of_fetching if reason in context.held)
        known_before = next((e for e in held if PROGRESS_UNKNOWN not in e.message), None)
        if known_before or not is_unread:
            return known_before or Reasons.FETCHING.explain(pace=so_far, progress=PROGRESS_UNKNOWN)
        return Reasons.FETCHER_UNREACHABLE.explain(pace=so_far, port=names.FETCH_STATE_PORT, pod=pod.name)
    return Reasons.FETCHING.explain(pace=so_far, progress=_progress(state, pod.node))


def _with_policy(found: Explanation) -> Explanation:
    """``found`` of a fetcher that runs again, with what keeps its present state from being known."""
    return explanation_of(
        found.reason,
        f"{found.message} The fetcher has been restarted and is trying again, but its progress is unknown: the "
        f"operator cannot reach its port {names.FETCH_STATE_PORT}. {Reasons.FETCHER_UNREACHABLE.remedy}",
        found.kind,
    )


def _runs_s(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since else 0.0


def _fetch_ended(pod: PodFacts, context: PodContext, over: Ended) -> Explanation:
    if over.reason == "OOMKilled":
        return Reasons.OUT_OF_MEMORY.explain(
            container=names.CONTAINER_FETCH, restarts=pod.fetch.restarts, cause="the kernel killed it (OOMKilled)"
        )
    state = fetch_report.parse(over.message)
    if state and state.error:
        return _fetch_failure(pod, context, state)
    cause = f"the fetcher ended with exit code {over.exit_code}" + ("" if state else f": {sentence(over.message)}")
    return Reasons.FETCH_FAILED.explain(cause=cause, namespace=context.key.namespace, pod=pod.name)


def _fetch_failure(pod: PodFacts, context: PodContext, state: FetchReport) -> Explanation:
    assert state.error
    if state.error.reason:
        return explanation_of(state.error.reason, state.error.message)
    cause = sentence(state.error.message)
    return Reasons.FETCH_FAILED.explain(cause=cause, namespace=context.key.namespace, pod=pod.name)


def _progress(state: FetchReport | None, node: str) -> str:
    """Whole steps of 10 %: the status would be written anew with every byte otherwise."""
    if state is None or state.phase in {None, Phase.STARTING, Phase.LISTING}:
        return "listing the source"
    if state.phase is Phase.PUBLISHING:
        return "verifying and publishing it"
    who = f"another pod on node {node} is fetching it, " if state.phase is Phase.WAITING else ""
    if state.bytes_done is None or not state.bytes_total:
        return f"{who}{PROGRESS_UNKNOWN}"
    tenths = min(10, state.bytes_done * 10 // state.bytes_total)
    return f"{who}{tenths * 10} % of {amount(state.bytes_total)}"


def _was_ready(pod: PodFacts) -> bool:
    """The engine's present run was ready, and is no longer."""
    since, changed = pod.engine.running_since, pod.ready_changed
    if pod.ready or not pod.engine.started or not since or not changed:
        return False
    return (changed - since).total_seconds() > RESTART_LAG_S


def _failed_run(pod: PodFacts, now: datetime) -> Ended | None:
    """The engine's run that failed, until a later one got further: until it was ready, and stayed so for a while."""
    got_further = pod.ready and settling_s(pod, now) <= 0
    over = pod.engine.ended or (None if got_further or _was_ready(pod) else pod.engine.last)
    return over if over and over.reason not in NO_FAILURE else None


def _engine_failed(pod: PodFacts, context: PodContext) -> Explanation | None:
    over = _failed_run(pod, context.now)
    if not over:
        return None
    reason, line = classify(over.message)
    if over.reason == "OOMKilled":
        reason, line = Reasons.OUT_OF_MEMORY, "the kernel killed it (OOMKilled)"
    elif over.reason in {"StartError", "ContainerCannotRun"}:
        reason, line = reason if reason is Reasons.OUT_OF_MEMORY else Reasons.CONTAINER_START_FAILED, over.message
    elif reason is None and _timed_out(over, context.target):
        reason = Reasons.START_TIMEOUT
    elif reason is None:
        line = line or (_KILLED if over.exit_code == _SIGKILLED else "")
        reason = Reasons.CRASH_LOOPING if pod.engine.restarts >= CRASH_LOOP_RESTARTS else Reasons.ENGINE_FAILED
    explanation = reason.explain(
        container=names.CONTAINER_ENGINE,
        cause=sentence(line) + (_EXIT_CODE_0 if over.exit_code == 0 else ""),
        exit_code="unknown" if over.exit_code is None else over.exit_code,
        restarts=pod.engine.restarts,
        budget_s=context.target.startup_timeout_s if context.target else "?",
        stage=f"ended {_STAGE_WORDS[Stage.STARTING]}",
        namespace=context.key.namespace,
        pod=pod.name,
    )
    if pod.ready and pod.ready_changed:
        again = (
            f"It has been answering since {timestamp(pod.ready_changed)} and counts as ready after "
            f"{math.ceil(settling_s(pod, pod.ready_changed))} s."
        )
        return explanation_of(explanation.reason, f"{explanation.message} {again}")
    return with_next_try(explanation, pod.engine)


def _timed_out(over: Ended, target: Target | None) -> bool:
    ran_s = over.ran_s
    if target is None or ran_s is None or over.exit_code not in _ENDED_BY_KUBELET:
        return False
    budget_s = target.startup_timeout_s
    return abs(ran_s - budget_s) <= _BUDGET_SLACK_SHARE * budget_s + _BUDGET_SLACK_S


def _engine_unready(pod: PodFacts, context: PodContext) -> Explanation | None:
    if pod.ready:
        return None
    since, was_ready = pod.engine.running_since, _was_ready(pod)
    probe = next((e for e in reversed(pod.events) if _is_failed_probe(e, since)), None)
    if pod.stage is Stage.STARTED and (probe or was_ready):
        return Reasons.PROBE_FAILING.explain(
            since=timestamp((pod.ready_changed if was_ready else since) or context.now),
            cause=sentence(probe.message if probe else "Kubernetes reports no cause"),
            namespace=context.key.namespace,
            pod=pod.name,
        )
    return _starting(pod, context)


def _starting(pod: PodFacts, context: PodContext) -> Explanation:
    since, deadline = pod.engine.running_since, start_deadline(pod, context.target)
    return Reasons.STARTING.explain(
        loading=f"has been loading the model since {timestamp(since)}" if since else "is loading the model",
        pace=pace(since, context.now, context.usual.load_seconds if context.usual else None),
        limit=f"; the start-up limit ends at {timestamp(deadline)}" if deadline else "",
    )


def _models_unready(pod: PodFacts, context: PodContext) -> Explanation | None:
    """Of a pod that Kubernetes calls ready. What was known of its models stays while their index cannot be read."""
    cause = unready_models(pod)
    if cause:
        return Reasons.MODELS_NOT_READY.explain(cause=sentence(cause))
    if pod.models is not None and pod.index is None and Reasons.MODELS_NOT_READY.name in context.held:
        return context.held[Reasons.MODELS_NOT_READY.name]
    return _starting(pod, context) if is_awaited(pod, context.now) else None


def _is_failed_probe(event: PodEvent, since: datetime | None) -> bool:
    """Of the run that began at ``since``: an Event of the run before proves nothing."""
    of_readiness = event.reason == "Unhealthy" and "Readiness" in event.message
    of_the_engine = event.container in {"", names.CONTAINER_ENGINE}
    return of_readiness and of_the_engine and bool(event.seen and since and event.seen > since)


_STEPS: tuple[Callable[[PodFacts, PodContext], Explanation | None], ...] = (
    _given_up,
    _node_gone,
    _unscheduled,
    _before_the_engine,
    _prepared,
    _fetched,
    _engine_failed,
    _beside_the_engine,
    _engine_unready,
    _models_unready,
)
