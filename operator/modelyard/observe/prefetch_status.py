"""How far prefetching is, in words: status.prefetch."""

from collections.abc import Iterator
from datetime import datetime

from modelyard.api.conditions import Explanation, Kind, timestamp, told
from modelyard.api.reasons import Reasons
from modelyard.api.service import Key
from modelyard.api.status import PrefetchNode, PrefetchStatus
from modelyard.contract.untrusted import bounded
from modelyard.observe.facts.pods import PodFacts, Stage
from modelyard.observe.facts.raw_object import moment, readable
from modelyard.observe.facts.service import Facts
from modelyard.observe.prefetch_plan import PAUSE, Plan, Step
from modelyard.observe.reasons.diagnosis import Surroundings, explain
from modelyard.observe.reasons.scheduling import admission_refusal

NODES_LIMIT = 32
"""Nodes that a status names: the bound of status.prefetch.nodes."""

FETCH_INTERVAL_S = 5.0
LOOK_AGAIN_S = 30.0
"""How often fetchers are asked for their progress, and other steps looked at that no watch tells of."""

NODES_INTERVAL_S = 60.0
"""How often nodes are looked at while too few can be used: no service is told of a node that joins."""

RECORDED_WAIT_S = 0.1
"""Time to the next look once the status has recorded the end of a Job, which can then go."""

_AGAIN = f"The next attempt is in {PAUSE.seconds // 60} minutes."


def prefetch_status(
    plan: Plan, facts: Facts, key: Key, stored: object, now: datetime
) -> tuple[PrefetchStatus, Explanation]:
    """The status of prefetching for the service ``key``, and what it says; ``stored`` is what the last one was."""
    before = readable(PrefetchStatus, stored)
    if plan.step is Step.RESTS and before:
        kind = Kind.PROBLEM if before.reason != Reasons.PREFETCHED.name else Kind.GOOD
        return before, told(before.reason or Reasons.PREFETCHED.name, before.message or "", kind)
    found = list(_explained(plan, facts, key, now))
    why = _explanation(plan, facts, key, found)
    same = before if before and before.fingerprint == plan.asked.fingerprint else None
    ended = {Step.ENDED: timestamp(now), Step.SETTLED: same.finished_at if same else None}
    return (
        PrefetchStatus(
            desired=plan.desired,
            ready=min(len(plan.warm), plan.desired),
            nodes=_nodes(plan, found),
            reason=why.reason,
            message=why.message,
            fingerprint=plan.asked.fingerprint,
            finished_at=ended.get(plan.step),
        ),
        why,
    )


def look_again_s(plan: Plan, stored: object, now: datetime) -> float | None:
    """When something may have changed that no watch tells of; None where only a resync can find that."""
    if plan.step is Step.UNDER_WAY:
        return FETCH_INTERVAL_S if any(pod.live and pod.fetch.running for pod in plan.pods) else LOOK_AGAIN_S
    if plan.step is Step.ENDED:
        return RECORDED_WAIT_S
    if plan.step is Step.SETTLED:
        return None if len(plan.warm) >= plan.desired > 0 else NODES_INTERVAL_S
    before = readable(PrefetchStatus, stored)
    finished = moment({"at": before.finished_at}, "at") if before else None
    if not (before and finished and now < finished + PAUSE):
        return None
    left_s = (finished + PAUSE - now).total_seconds() + 1
    return left_s if before.ready >= before.desired else min(left_s, NODES_INTERVAL_S)


def _explained(plan: Plan, facts: Facts, key: Key, now: datetime) -> Iterator[tuple[PodFacts, Explanation | None]]:
    """Each pod that is not over yet, with what is to be said of it."""
    around = Surroundings(key=key, wanted=None, facts=facts, held={}, usual=None, old_pods_serve=False, now=now)
    for pod in facts.prefetch_pods:
        if pod.live and pod.node not in plan.warm:
            has_ended_well = pod.engine.ended is not None and pod.engine.ended.exit_code == 0
            yield pod, None if has_ended_well or pod.engine.running else explain(pod, around)


def _explanation(plan: Plan, facts: Facts, key: Key, found: list[tuple[PodFacts, Explanation | None]]) -> Explanation:
    ready, desired = min(len(plan.warm), plan.desired), plan.desired
    counted = Reasons.PREFETCHED.explain(ready=ready, desired=desired).message
    problems = [(pod, why) for pod, why in found if why and why.is_problem]
    if plan.lost and plan.round:
        return Reasons.PREFETCH_LOST.explain(lost=plan.lost, desired=desired)
    if problems and plan.step in {Step.UNDER_WAY, Step.ENDED}:
        pod, why = problems[0]
        again = _AGAIN if plan.step is Step.ENDED else ""
        return told(why.reason, f"{counted} {_on(pod, len(problems))}{why.message} {again}")
    if plan.step is Step.UNDER_WAY and facts.prefetch_refusal:
        refused = admission_refusal(facts.prefetch_refusal, key.namespace)
        return told(refused.reason, f"{counted} {refused.message}")
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
