"""Which nodes are to be prefetched on next, decided from the nodes, the Job that is there and what the status recorded.

The operator chooses the nodes, since a Job's pods ask for no accelerator: to the scheduler any node would do. It leaves
the scheduler more nodes than are needed where there are more, since only that knows what is free on them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from modelyard.api.prefetch_round import Asked, Round, round_of
from modelyard.api.reasons import Reasons
from modelyard.api.service import Object
from modelyard.api.status import PrefetchStatus
from modelyard.contract import names
from modelyard.observe.facts.nodes import NodeFacts, Placement, excluded, exclusions, node_facts, offer, placement
from modelyard.observe.facts.pods import LONG_AGO, PodFacts
from modelyard.observe.facts.raw_object import entries, moment, readable, text

LARGEST_ROUND = 100
"""Nodes that one Job may use: each of its pods carries their names."""

PAUSE = timedelta(minutes=10)
"""How long what was brought is left at that. Then the nodes' labels tell who still has it, and what was evicted is
brought anew: no more often, since a cache that is too small would have it evicted again."""

GIVEN_UP = timedelta(minutes=5)
"""How long the scheduler may find no node for the last pods of a Job."""


class Step(Enum):
    """How far prefetching is."""

    UNDER_WAY = "a Job is at work, or about to be made"
    ENDED = "its Job is over, and the status has to record that"
    RESTS = "what the status has recorded stands"
    SETTLED = "there is nothing to do now, as the nodes' labels tell"


@dataclass(frozen=True)
class Present:
    """What there is: the Job, which may be for something else, pods that prefetch and that serve, all nodes, what the
    status has ``stored`` of prefetching, and whether this installation labels nodes that hold a model.
    """

    job: Object | None
    pods: tuple[PodFacts, ...]
    serving: tuple[PodFacts, ...]
    nodes: tuple[Object, ...]
    stored: object
    writes_labels: bool = True


@dataclass(frozen=True)
class Plan:
    """``round`` is what a Job shall be for, None: there shall be none. ``warm`` are the nodes that are ready, of
    ``desired`` ones; ``lost`` counts those that no longer are. ``lacking`` says, as sentences, why no further node can
    be used; ``pods`` are those of the Job that is there.
    """

    step: Step
    asked: Asked
    desired: int
    warm: frozenset[str] = frozenset()
    round: Round | None = None
    lost: int = 0
    lacking: str = ""
    pods: tuple[PodFacts, ...] = ()


def job_for(asked: Asked, job: Object | None) -> Object | None:
    """``job`` if it is for what is ``asked`` now."""
    round_ = round_of(job)
    return job if round_ and round_.fingerprint == asked.fingerprint else None


def pods_of(job: Object | None, pods: Iterable[PodFacts]) -> tuple[PodFacts, ...]:
    """Those of the ``pods`` that ``job`` made: others may carry the labels, or be of the Job before it."""
    uid = text(job, "metadata", "uid")
    return tuple(pod for pod in pods if uid and uid in pod.owner_uids)


def plan(asked: Asked, present: Present, now: datetime) -> Plan:
    """What to do for ``asked``. Never raises, whatever the objects look like."""
    every = [node_facts(node, asked.devices.resource, None) for node in present.nodes]
    accepted = _accepted(asked)
    suitable = [node for node in every if _can_be_sent_to(node, asked) and not excluded(accepted, node)]
    desired = len(suitable) if asked.count is None else asked.count
    recorded = readable(PrefetchStatus, present.stored)
    if recorded and recorded.fingerprint != asked.fingerprint:
        recorded = None
    finished = moment({"at": recorded.finished_at}, "at") if recorded else None
    serving = _serving(asked, present.serving) & {node.name for node in suitable}
    so_far = Plan(Step.SETTLED, asked, desired, warm=serving, lacking=_lacking(asked, accepted, every))
    if job := job_for(asked, present.job):
        made = pods_of(job, present.pods)
        return _with_job(replace(so_far, round=round_of(job), pods=made), job, suitable, finished, now)
    if not (recorded and finished):
        enough = len(serving) >= desired > 0
        return replace(so_far, step=Step.ENDED) if enough else _next(so_far, suitable, now)
    labels_tell = present.writes_labels and _labels_tell(every)
    return _once_finished(so_far, suitable, recorded, labels_tell=labels_tell, rests=now < finished + PAUSE, now=now)


def _once_finished(
    so_far: Plan, suitable: list[NodeFacts], recorded: PrefetchStatus, *, labels_tell: bool, rests: bool, now: datetime
) -> Plan:
    """What was brought is left at that while it ``rests``, but a node that was lacking is used as soon as it is there.

    Then the nodes that hold the model are those with the label, or where labels tell nothing, those of the status.
    """
    known = frozenset(node.name for node in recorded.nodes if node.state == "Ready")
    was_ready = known & {node.name for node in suitable}
    if rests:
        # A status does not name all of many nodes: who is missing there may be warm.
        has_lacked = recorded.reason == Reasons.PREFETCH_LACKS_NODES.name and len(known) == recorded.ready
        following = _next(replace(so_far, warm=so_far.warm | was_ready), suitable, now)
        return following if has_lacked and following.round else replace(so_far, step=Step.RESTS)
    if recorded.ready >= so_far.desired and not labels_tell:
        return replace(so_far, step=Step.RESTS)
    labelled = frozenset(node.name for node in suitable if so_far.asked.model_label in node.labels)
    holding = so_far.warm | (labelled if labels_tell else was_ready)
    lost = max(0, min(recorded.ready, so_far.desired) - len(holding))
    return _next(replace(so_far, warm=holding, lost=lost), suitable, now)


def _with_job(
    so_far: Plan, job: Object | None, suitable: list[NodeFacts], finished: datetime | None, now: datetime
) -> Plan:
    """Once the Job is over, a next one follows only for nodes that it did not reach, and only if it reached any."""
    assert so_far.round
    before = frozenset(so_far.round.warm)
    reached = {pod.node for pod in so_far.pods if pod.phase == "Succeeded" and pod.node} - before
    here = replace(so_far, warm=so_far.warm | before | reached)
    if not _is_over(job, here, now):
        return replace(here, step=Step.UNDER_WAY)
    following = _next(here, suitable, now)
    if following.step is Step.UNDER_WAY and reached:
        return following
    if finished and finished >= so_far.round.planned:
        return replace(here, step=Step.RESTS, round=None)
    return replace(here, step=Step.ENDED)


def _next(so_far: Plan, suitable: list[NodeFacts], now: datetime) -> Plan:
    """A round for the nodes that are not warm yet; nothing where enough are, or no other can be used."""
    cold = [node for node in suitable if node.name not in so_far.warm]
    missing = so_far.desired - len(so_far.warm)
    if missing <= 0 or not cold:
        return replace(so_far, step=Step.SETTLED, round=None)
    label = so_far.asked.model_label
    chosen = sorted(cold, key=lambda node: (label not in node.labels, node.name))[:LARGEST_ROUND]
    round_ = Round(
        fingerprint=so_far.asked.fingerprint,
        hosts=tuple(node.labels[names.LABEL_HOSTNAME] for node in chosen),
        count=min(missing, len(chosen)),
        warm=tuple(sorted(so_far.warm)),
        planned=now.replace(microsecond=0),
    )
    return replace(so_far, step=Step.UNDER_WAY, round=round_)


def _is_over(job: Object | None, so_far: Plan, now: datetime) -> bool:
    over = any(
        condition.get("type") in {"Complete", "Failed"} and condition.get("status") == "True"
        for condition in entries(job, "status", "conditions")
    )
    return over or _is_given_up(so_far, now)


def _is_given_up(so_far: Plan, now: datetime) -> bool:
    """No node takes any of the pods that are left."""
    left = [pod for pod in so_far.pods if pod.live]
    all_made = so_far.round is not None and len(so_far.pods) >= so_far.round.count
    return bool(left) and all_made and all(pod.refused and now - _refused_since(pod) >= GIVEN_UP for pod in left)


def _refused_since(pod: PodFacts) -> datetime:
    return pod.refused_since or LONG_AGO


def _serving(asked: Asked, pods: Iterable[PodFacts]) -> frozenset[str]:
    """The nodes of pods that were made from the present template and have the model: these have the image, too."""
    return frozenset(pod.node for pod in pods if pod.live and pod.fetched and pod.template == asked.template)


def _can_be_sent_to(node: NodeFacts, asked: Asked) -> bool:
    """It has enough accelerators, free or not, and a name by which pods can be sent there."""
    enough = asked.devices.resource is None or node.offered >= asked.devices.count
    return enough and names.LABEL_HOSTNAME in node.labels


def _accepted(asked: Asked) -> Placement:
    """The nodes that the service's pods accept, and the user named."""
    accepted = placement(asked.pod)
    named = tuple({"key": key, "operator": "In", "values": [value]} for key, value in asked.selector.items())
    return replace(
        accepted, terms=tuple((*named, *term) for term in accepted.terms or ((),)) if named else accepted.terms
    )


def _lacking(asked: Asked, accepted: Placement, nodes: list[NodeFacts]) -> str:
    if asked.devices.resource is None:
        return exclusions(accepted, nodes)
    having = [node for node in nodes if node.present]
    return f"{offer(asked.devices.resource, nodes)} {exclusions(accepted, having)}".rstrip()


def _labels_tell(nodes: Iterable[NodeFacts]) -> bool:
    """Whether nodes are labelled at all: where the node agents cannot be asked, a missing label means nothing."""
    return any(label.startswith(f"{names.LABEL_MODEL_DOMAIN}/") for node in nodes for label in node.labels)
