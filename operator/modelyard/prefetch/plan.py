"""Which nodes are to be prefetched on next, decided from the nodes, their labels, and the Job with its pods.

The operator chooses the nodes, since a Job's pods request no accelerator: to the scheduler any node would do. It leaves
the scheduler more nodes than are needed where there are more, since only that knows what is free on them.

The Job is the memory, also once it is over: what it was for, and by its pods, which nodes it reached. The nodes' labels
show which of them still hold the model. The service's status is never read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.observe.facts.nodes import NodeFacts, Placement, excluded, exclusions, node_facts, offer, placement
from modelyard.observe.facts.pods import LONG_AGO, PodFacts
from modelyard.observe.facts.raw_object import entries, moment, text
from modelyard.prefetch.round import Request, Round, round_of

LARGEST_ROUND = 100
"""Nodes that one Job may use: each of its pods carries their names."""

PAUSE = timedelta(minutes=10)
"""From the end of a round to the next, if it reached no node, or if nodes lost the model since: a cache that is too
small would have it evicted again, and labels follow what nodes hold with a delay."""

GIVEN_UP = timedelta(minutes=5)
"""How long the scheduler may find no node for the last pods of a Job."""


class Step(Enum):
    """How far prefetching is."""

    UNDER_WAY = "a Job is at work, or about to be made"
    PAUSED = "the next round begins when the pause after the last one is over"
    SETTLED = "enough nodes are ready, or no further node can be used"


@dataclass(frozen=True)
class State:
    """What there is: the Job, which may be for something else, pods that prefetch and that serve, all nodes, and
    whether this installation labels nodes that hold a model.
    """

    job: Object | None
    pods: tuple[PodFacts, ...]
    serving: tuple[PodFacts, ...]
    nodes: tuple[Object, ...]
    writes_labels: bool = True


@dataclass(frozen=True)
class Plan:
    """``round`` is what the Job is for, also when it is over; None: there should be none. ``warm`` are the nodes that
    are ready, of ``desired`` ones; ``lost`` counts those that no longer are. ``lacking`` explains, in sentences, why no
    further node can be used; ``pods`` are those of the Job that is there; ``ended`` is when that was over.
    """

    step: Step
    request: Request
    desired: int
    warm: frozenset[str] = frozenset()
    round: Round | None = None
    lost: int = 0
    lacking: str = ""
    pods: tuple[PodFacts, ...] = ()
    ended: datetime | None = None


def job_for(request: Request, job: Object | None) -> Object | None:
    """``job`` if it is for the present ``request``."""
    round_ = round_of(job)
    return job if round_ and round_.fingerprint == request.fingerprint else None


def pods_of(job: Object | None, pods: Iterable[PodFacts]) -> tuple[PodFacts, ...]:
    """Those of the ``pods`` that ``job`` made: others may carry the labels, or be of the Job before it."""
    uid = text(job, "metadata", "uid")
    return tuple(pod for pod in pods if uid and uid in pod.owner_uids)


def plan(request: Request, state: State, now: datetime) -> Plan:
    """What to do for the ``request``. Never raises, whatever the objects look like."""
    every = [node_facts(node, request.devices.resource, None) for node in state.nodes]
    accepted = _accepted(request)
    suitable = {node.name: node for node in every if _can_be_sent_to(node, request) and not excluded(accepted, node)}
    so_far = Plan(
        Step.SETTLED,
        request,
        desired=len(suitable) if request.count is None else request.count,
        warm=_serving(request, state.serving) & suitable.keys(),
        lacking=_lacking(request, accepted, every),
    )
    job = job_for(request, state.job)
    if job is None:
        return _next(so_far, suitable, now)
    labels_show_loss = state.writes_labels and _labels_decide(every)
    return _with_job(so_far, job, pods_of(job, state.pods), suitable, now, labels_show_loss=labels_show_loss)


def _with_job(
    so_far: Plan,
    job: Object,
    pods: tuple[PodFacts, ...],
    suitable: Mapping[str, NodeFacts],
    now: datetime,
    *,
    labels_show_loss: bool,
) -> Plan:
    """The Job is left alone until it is over. A next one is for the nodes that are not ready: at once where it brings
    further what this one began, else after a pause.
    """
    round_ = round_of(job)
    assert round_ is not None
    before = frozenset(round_.warm)
    reached = _reached(so_far.request, job, round_, pods, suitable) - before
    brought = so_far.warm | before | reached
    here = replace(so_far, warm=brought, round=round_, pods=pods, ended=_ended(job, round_, pods, now))
    if here.ended is None:
        return replace(here, step=Step.UNDER_WAY)
    has_paused = now >= here.ended + PAUSE
    ready = brought & suitable.keys()
    label = so_far.request.model_label
    lost = {name for name in ready - so_far.warm if label not in suitable[name].labels}
    warm = ready - lost if has_paused and labels_show_loss else ready
    following = _next(replace(so_far, warm=warm), suitable, now)
    if following.round is None:
        return replace(here, step=Step.SETTLED, warm=warm)
    if not has_paused and not (reached and len(brought) < so_far.desired):
        return replace(here, step=Step.PAUSED, warm=warm)
    return replace(following, lost=min(len(ready), so_far.desired) - len(warm))


def _next(so_far: Plan, suitable: Mapping[str, NodeFacts], now: datetime) -> Plan:
    """A round for the nodes that are not warm yet; nothing where enough are, or no other can be used."""
    cold = [node for node in suitable.values() if node.name not in so_far.warm]
    missing = so_far.desired - len(so_far.warm)
    if missing <= 0 or not cold:
        return replace(so_far, step=Step.SETTLED, round=None)
    label = so_far.request.model_label
    chosen = sorted(cold, key=lambda node: (label not in node.labels, node.name))[:LARGEST_ROUND]
    round_ = Round(
        fingerprint=so_far.request.fingerprint,
        hosts=tuple(node.labels[names.LABEL_HOSTNAME] for node in chosen),
        count=min(missing, len(chosen)),
        warm=tuple(sorted(so_far.warm)),
        planned=now.replace(microsecond=0),
    )
    return replace(so_far, step=Step.UNDER_WAY, round=round_)


def _reached(
    request: Request, job: Object, round_: Round, pods: tuple[PodFacts, ...], suitable: Mapping[str, NodeFacts]
) -> frozenset[str]:
    """The nodes where a pod of the Job ended well. If pods of a complete one were removed, labels stand in for them."""
    by_pods = frozenset(pod.node for pod in pods if pod.phase == "Succeeded" and pod.node)
    if _over_since(job) is None or len(pods) >= round_.count:
        return by_pods
    labelled = (node for node in suitable.values() if request.model_label in node.labels)
    return by_pods | {node.name for node in labelled if node.labels[names.LABEL_HOSTNAME] in round_.hosts}


def _ended(job: Object, round_: Round, pods: tuple[PodFacts, ...], now: datetime) -> datetime | None:
    """When the Job was over; None before. It also is when for long no node takes any of the pods that are left."""
    if over := _over_since(job):
        return over
    left = [pod for pod in pods if pod.live]
    if not left or len(pods) < round_.count or not all(pod.refused for pod in left):
        return None
    given_up = max(pod.refused_since or round_.planned for pod in left) + GIVEN_UP
    return given_up if given_up <= now else None


def _over_since(job: Object) -> datetime | None:
    over = (
        moment(condition, "lastTransitionTime") or moment(job, "metadata", "creationTimestamp") or LONG_AGO
        for condition in entries(job, "status", "conditions")
        if condition.get("type") in {"Complete", "Failed"} and condition.get("status") == "True"
    )
    return next(over, None)


def _serving(request: Request, pods: Iterable[PodFacts]) -> frozenset[str]:
    """The nodes of pods that were made from the present template and have the model: these have the image, too."""
    return frozenset(pod.node for pod in pods if pod.live and pod.fetched and pod.template == request.template)


def _can_be_sent_to(node: NodeFacts, request: Request) -> bool:
    """It has enough accelerators, free or not, and a name by which pods can be sent there."""
    enough = request.devices.resource is None or node.offered >= request.devices.count
    return enough and names.LABEL_HOSTNAME in node.labels


def _accepted(request: Request) -> Placement:
    """The nodes that the service's pods accept, and the user named."""
    accepted = placement(request.pod)
    named = tuple({"key": key, "operator": "In", "values": [value]} for key, value in request.selector.items())
    return replace(
        accepted, terms=tuple((*named, *term) for term in accepted.terms or ((),)) if named else accepted.terms
    )


def _lacking(request: Request, accepted: Placement, nodes: list[NodeFacts]) -> str:
    if request.devices.resource is None:
        return exclusions(accepted, nodes)
    having = [node for node in nodes if node.present]
    return f"{offer(request.devices.resource, nodes)} {exclusions(accepted, having)}".rstrip()


def _labels_decide(nodes: Iterable[NodeFacts]) -> bool:
    """Whether nodes are labelled at all: where the node agents cannot be queried, a missing label means nothing."""
    return any(label.startswith(f"{names.LABEL_MODEL_DOMAIN}/") for node in nodes for label in node.labels)
