"""One look at a service, from what the cache holds of it: pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelyard.api.service import Object, Service
from modelyard.api.status import ModelStatus, StartupStatus
from modelyard.controller.autoscaler.capacity import Refused, capacity
from modelyard.controller.autoscaler.wake import woken
from modelyard.integrations.engines import ENGINES
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_pod import EnginePod
from modelyard.observe.facts.pods import PodFacts, Stage
from modelyard.observe.facts.raw_object import at, entries, entry, moment, number, readable, text
from modelyard.observe.facts.service import deployment_facts
from modelyard.observe.reasons.crash_loops import settling_s
from modelyard.scaling.observation import ColdStart, Observation, Replica, State

FETCH_LIMIT_S = 1800
"""How long a pod may fetch its model beyond the start-up limit and still count as starting: 140 GB at 100 MB/s."""

GOING_AWAY = frozenset(
    {
        "ToBeDeletedByClusterAutoscaler",  # Kubernetes' cluster-autoscaler
        "karpenter.sh/disrupted",  # Karpenter, for a loss of spot capacity as for consolidation
        "aws-node-termination-handler/spot-itn",
        "cloud.google.com/impending-node-termination",
        "node.kubernetes.io/out-of-service",  # Kubernetes' non-graceful node shutdown
    }
)
"""Keys of taints by which a node is announced to go away."""

Samples = Mapping[str, EngineSample | Unknown]
"""What the engines reported, by pod uid."""

NOT_READ = Unknown("it was not read")


@dataclass(frozen=True)
class Seen:
    """What the cache holds of a service: its ``pods``, each raw and as facts, its ``deployments``, and the ``nodes`` of
    the pods by name, None for one that is gone; none at all where nodes are not visible.

    ``replicas`` is how many are to run (desired/replicas.py), ``running`` what the Deployments are set to,
    ``startup_timeout_s`` the longest time of a start.
    """

    service: Service
    body: Object
    pods: tuple[tuple[Object, PodFacts], ...]
    deployments: tuple[Object, ...]
    nodes: Mapping[str, Object | None]
    replicas: int
    running: int
    startup_timeout_s: int


def engine_pods(seen: Seen) -> Iterator[EnginePod]:
    """The pods whose engines are to be read: those that are ready, of an engine that reports metrics."""
    engine = ENGINES.get(text(seen.service.status, "effective", "engineType"))
    if engine is None or engine.metrics is None:
        return
    for _, pod in seen.pods:
        if pod.ready and pod.ip:
            yield EnginePod(seen.service.key.namespace, pod.name, pod.uid, pod.ip, engine.metrics)


def observation(seen: Seen, samples: Samples, now: datetime) -> Observation:
    """The service as a decision sees it."""
    live = [(raw, pod) for raw, pod in seen.pods if pod.phase not in {"Failed", "Succeeded"}]
    replicas = tuple(_replica(raw, pod, seen, samples, now) for raw, pod in live)
    woken_at = woken(seen.service, seen.body, now)
    return Observation(
        now_s=now.timestamp(),
        current=seen.replicas,
        replicas=replicas,
        cold_start=cold_start(seen.service.status),
        capacity=capacity(
            seen.service.key.namespace,
            seen.service.status,
            [_refused(pod, replica) for (_, pod), replica in zip(live, replicas, strict=True)],
            [deployment_facts(body) for body in seen.deployments],
        ),
        woken_s=woken_at.timestamp() if woken_at else None,
    )


def cold_start(status: Object) -> ColdStart | None:
    """How long a replica takes to start: as the last one did, or with the slowest fetch that a node reports."""
    last = readable(StartupStatus, status.get("startup"))
    if last is None:
        return None
    model = readable(ModelStatus, status.get("model"))
    fetches_s = [node.seconds for node in model.nodes if node.result != "Hit"] if model else []
    begin_and_load_s = last.prepare_seconds + last.load_seconds
    return ColdStart(
        expected_s=float(begin_and_load_s + last.fetch_seconds),
        high_s=float(begin_and_load_s + max(fetches_s, default=last.fetch_seconds)),
    )


def _replica(raw: Object, pod: PodFacts, seen: Seen, samples: Samples, now: datetime) -> Replica:
    state, since = _state(raw, pod, seen, now)
    return Replica(pod.name, state, (since or now).timestamp(), samples.get(pod.uid, NOT_READ))


def _state(raw: Object, pod: PodFacts, seen: Seen, now: datetime) -> tuple[State, datetime | None]:
    """What the pod is to the autoscaler, and since when."""
    if pod.stopping:
        return State.LEAVING, _stopping_since(raw)
    if not pod.scheduled:
        return State.PENDING, pod.created
    node = seen.nodes.get(pod.node)
    if seen.nodes and (node is None or _goes_away(node)):
        return State.LEAVING, pod.ready_changed or pod.created
    if pod.ready and not settling_s(pod, now) and not (node and _is_lost(node)):
        return State.SERVING, pod.ready_changed
    if pod.ready or _has_failed(pod) or _is_late(pod, seen.startup_timeout_s, now):
        return State.UNREADY, _unready_since(pod, seen.startup_timeout_s)
    return State.STARTING, pod.begun or pod.created


def _has_failed(pod: PodFacts) -> bool:
    """It was ready before, or one of its containers ended with an error."""
    return _was_ready(pod) or bool(pod.engine.restarts or pod.engine.ended or pod.fetch.restarts)


def _was_ready(pod: PodFacts) -> bool:
    """The Ready condition is false from the pod's creation on, so one that turned false later had been true."""
    since, changed = pod.engine.running_since, pod.ready_changed
    return since is not None and changed is not None and changed > since


def _unready_since(pod: PodFacts, limit_s: int) -> datetime | None:
    """For one that was never ready: its first crash, or when its start-up limit passed. After several crashes, the
    first is not known any more, and its creation counts.
    """
    if pod.ready or _was_ready(pod):
        return pod.ready_changed or pod.created
    crashes = [end for part in (pod.engine, pod.fetch) for end in (part.ended, part.last) if end and end.exit_code]
    if crashes:
        return crashes[0].finished if len(crashes) == 1 else pod.created
    return _late_from(pod, limit_s) or pod.created


def _is_late(pod: PodFacts, limit_s: int, now: datetime) -> bool:
    from_ = _late_from(pod, limit_s)
    return from_ is not None and now > from_


def _late_from(pod: PodFacts, limit_s: int) -> datetime | None:
    """The end of its start-up limit. A fetch does not count into it, as long as it takes no more than FETCH_LIMIT_S."""
    since = pod.engine.running_since
    if since is None:
        since, limit_s = pod.begun or pod.created, limit_s + FETCH_LIMIT_S
    return since + timedelta(seconds=limit_s) if since is not None else None


def _stopping_since(raw: Object) -> datetime | None:
    """When its deletion was requested: deletionTimestamp is when its grace period ends."""
    ends = moment(raw, "metadata", "deletionTimestamp")
    return ends - timedelta(seconds=number(raw, "metadata", "deletionGracePeriodSeconds") or 0) if ends else None


def _goes_away(node: Object) -> bool:
    taints = {text(taint, "key") for taint in entries(node, "spec", "taints")}
    return at(node, "metadata", "deletionTimestamp") is not None or bool(taints & GOING_AWAY)


def _is_lost(node: Object) -> bool:
    """Its kubelet does not report: its pods may serve or not, until they are evicted."""
    return entry(node, "status", "conditions", type="Ready").get("status") != "True"


def _refused(pod: PodFacts, replica: Replica) -> Refused:
    is_late = pod.stage is Stage.UNSCHEDULED and bool(pod.refused)
    return Refused(counts=replica.state is not State.LEAVING, refusal=pod.refused if is_late else "")
