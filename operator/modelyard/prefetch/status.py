"""What the status reports of prefetching: status.prefetch."""

from collections.abc import Iterator
from datetime import datetime

from modelyard.api.conditions import Explanation, explanation_of, timestamp
from modelyard.api.reasons import Reasons
from modelyard.api.service import Key
from modelyard.api.status import PrefetchNode, PrefetchStatus
from modelyard.contract.untrusted import bounded
from modelyard.observe.facts.pods import PodFacts, Stage
from modelyard.observe.facts.service import Facts
from modelyard.observe.reasons.diagnosis import PodContext, explain
from modelyard.observe.reasons.scheduling import admission_refusal
from modelyard.observe.target import PrefetchReport
from modelyard.prefetch.plan import PAUSE, Plan, Step

NODES_LIMIT = 32
"""Nodes that a status names: the bound of status.prefetch.nodes."""

FETCH_INTERVAL_S = 5.0
LOOK_AGAIN_S = 30.0
"""How often fetchers' progress is read, and other steps that no watch reports."""

NODES_INTERVAL_S = 60.0
"""How often nodes are looked at while too few can be used: a node that joins does not wake the service."""

_AGAIN = f"The next attempt is in {PAUSE.seconds // 60} minutes."


def report(plan: Plan, facts: Facts, key: Key, now: datetime) -> PrefetchReport:
    """How far prefetching is for the service ``key``, and when to look again."""
    found = list(_explained(plan, facts, key, now))
    why = _explanation(plan, facts, key, found)
    status = PrefetchStatus(
        desired=plan.desired,
        ready=min(len(plan.warm), plan.desired),
        nodes=_nodes(plan, found),
        reason=why.reason,
        message=why.message,
        finished_at=timestamp(plan.ended) if plan.ended and plan.step is not Step.UNDER_WAY else None,
    )
    return PrefetchReport(status, why, _look_again_s(plan, now))


def _look_again_s(plan: Plan, now: datetime) -> float | None:
    """When something may have changed that no watch reports; None where only a resync can find that."""
    if plan.step is Step.UNDER_WAY:
        return FETCH_INTERVAL_S if any(pod.live and pod.fetch.running for pod in plan.pods) else LOOK_AGAIN_S
    after_s = [] if len(plan.warm) >= plan.desired > 0 else [NODES_INTERVAL_S]
    if plan.ended and now < plan.ended + PAUSE:
        after_s.append((plan.ended + PAUSE - now).total_seconds() + 1)
    return min(after_s, default=None)


def _explained(plan: Plan, facts: Facts, key: Key, now: datetime) -> Iterator[tuple[PodFacts, Explanation | None]]:
    """Each pod that is not over yet, with its explanation."""
    context = PodContext(key=key, target=None, facts=facts, held={}, usual=None, old_pods_serve=False, now=now)
    for pod in facts.prefetch_pods:
        if pod.live and pod.node not in plan.warm:
            has_ended_well = pod.engine.ended is not None and pod.engine.ended.exit_code == 0
            yield pod, None if has_ended_well or pod.engine.running else explain(pod, context)


def _explanation(plan: Plan, facts: Facts, key: Key, found: list[tuple[PodFacts, Explanation | None]]) -> Explanation:
    ready, desired = min(len(plan.warm), plan.desired), plan.desired
    counted = Reasons.PREFETCHED.explain(ready=ready, desired=desired).message
    problems = [(pod, why) for pod, why in found if why and why.is_problem]
    if plan.lost and plan.round:
        return Reasons.PREFETCH_LOST.explain(lost=plan.lost, desired=desired)
    if problems and plan.step is not Step.SETTLED:
        pod, why = problems[0]
        again = _AGAIN if plan.step is Step.PAUSED else ""
        return explanation_of(why.reason, f"{counted} {_on(pod, len(problems))}{why.message} {again}")
    if plan.step is Step.UNDER_WAY and facts.prefetch_refusal:
        refused = admission_refusal(facts.prefetch_refusal, key.namespace)
        return explanation_of(refused.reason, f"{counted} {refused.message}")
    if plan.step is Step.UNDER_WAY:
        step = next((f"{_on(pod, len(found))}{why.message}" for pod, why in found if why), "Pods are being created.")
        return Reasons.PREFETCHING.explain(ready=ready, desired=desired, step=step)
    if ready >= desired > 0:
        return Reasons.PREFETCHED.explain(ready=ready, desired=desired)
    return Reasons.PREFETCH_LACKS_NODES.explain(ready=ready, desired=desired, lacking=plan.lacking)


def _on(pod: PodFacts, count: int) -> str:
    more = f" (one of {count})" if count > 1 else ""
    return f"Node {pod.node}{more}: " if pod.node else ""


def _nodes(plan: Plan, found: list[tuple[PodFacts, Explanation | None]]) -> list[PrefetchNode]:
    """Those that are not ready first, NODES_LIMIT at most."""
    under_way = {pod.node: _node(pod, why) for pod, why in found if pod.node}
    ready = [PrefetchNode(name=name, state="Ready") for name in sorted(plan.warm)]
    return [*(under_way[name] for name in sorted(under_way)), *ready][:NODES_LIMIT]


def _node(pod: PodFacts, why: Explanation | None) -> PrefetchNode:
    message = bounded(why.message, 1024) if why else None
    if why and why.is_problem:
        return PrefetchNode(name=pod.node, state="Failed", message=message)
    is_fetching = pod.stage is Stage.FETCHING or pod.fetched
    return PrefetchNode(name=pod.node, state="Fetching" if is_fetching else "Pending", message=message)
