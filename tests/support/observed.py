"""Pods, Deployments and nodes as a cluster shows them, with facts and desired state, for tables of worlds."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from modelyard.api.conditions import timestamp
from modelyard.api.devices import DeviceRequest
from modelyard.api.service import Object
from modelyard.api.status import Effective
from modelyard.contract import names
from modelyard.contract.errors import InvalidError, NotReadyError
from modelyard.contract.fetch_report import FetchReport
from modelyard.integrations.signals.repository_index import Index
from modelyard.observe.assessment import Assessment
from modelyard.observe.facts.csi_nodes import UNKNOWN, Registered
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.facts.raw_object import text
from modelyard.observe.facts.service import Children, facts, questions
from modelyard.observe.status import StatusUpdate, status
from modelyard.observe.target import PoolTarget, Target

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
NEW, OLD = "hash-new", "hash-old"
GPU = "nvidia.com/gpu"
PULLED = "registry.example.com/vllm:1"
DIGEST = "sha256:" + "a" * 64
EFFECTIVE = Effective(
    engine_type="vllm",
    engine_version="0.32.0",
    engine_image=PULLED,
    accelerator_type="nvidia",
    accelerator_count=1,
    accelerator_resource=GPU,
    fetch_image="registry.example.com/fetch:1",
    startup_timeout_seconds=1800,
    drain_timeout_seconds=60,
)


def ago(seconds: float) -> str:
    """The time so many seconds before NOW, as Kubernetes writes it."""
    return timestamp(NOW - timedelta(seconds=seconds))


def a_service(
    status: Object | None = None,
    *,
    replicas: int = 1,
    generation: int = 3,
    deleting: bool = False,
    paused: bool = False,
) -> Object:
    """An InferenceService; ``status`` is its stored one."""
    metadata: Object = {"namespace": "team-a", "name": "smollm", "uid": "uid-1", "generation": generation}
    metadata |= {"deletionTimestamp": ago(1)} if deleting else {}
    metadata |= {"annotations": {names.ANNOTATION_PAUSED: "true"}} if paused else {}
    return {
        "metadata": metadata,
        "spec": {"model": {"uri": "s3://models/smollm"}, "replicas": replicas},
        "status": status or {},
    }


def target(replicas: int = 1, *, resource: str | None = GPU, count: int = 1, startup_timeout_s: int = 1800) -> Target:
    """One pool of so many pods of the template NEW."""
    effective = EFFECTIVE.model_copy(update={"startup_timeout_seconds": startup_timeout_s})
    return Target({names.DEFAULT_POOL: PoolTarget(NEW, replicas)}, DeviceRequest(resource, count), effective)


def a_deployment(
    replicas: int = 1,
    *,
    template: str = NEW,
    observed: bool = True,
    refusal: str = "",
    refused_s: float = 60,
    retried_s: float | None = None,
) -> Object:
    """A Deployment; ``refusal`` is why pods could not be made ``refused_s`` seconds ago."""
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": refusal,
        "lastTransitionTime": ago(refused_s),
        "lastUpdateTime": ago(refused_s),
    }
    retried = {} if retried_s is None else {names.ANNOTATION_RETRIED: ago(retried_s)}
    return {
        "metadata": {"name": "smollm", "generation": 5, "annotations": retried},
        "spec": {
            "replicas": replicas,
            "template": {"metadata": {"annotations": {names.ANNOTATION_TEMPLATE: template}}},
        },
        "status": {"observedGeneration": 5 if observed else 4, "conditions": [failure] if refusal else []},
    }


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def running(for_s: float) -> Object:
    return {"running": {"startedAt": ago(for_s)}}


def ended(
    exit_code: int, message: str = "", *, reason: str = "Error", ran_s: float = 30, since_s: float = 10
) -> Object:
    if exit_code == 0 and reason == "Error":
        reason = "Completed"
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": reason,
            "message": message,
            "startedAt": ago(since_s + ran_s),
            "finishedAt": ago(since_s),
        }
    }


def pod(
    name: str = "smollm-1",
    *,
    template: str = NEW,
    node: str = "worker-1",
    begun_s: float = 60,
    phase: str = "Pending",
    fetch: Object | None = None,
    fetch_last: Object | None = None,
    engine: Object | None = None,
    engine_last: Object | None = None,
    started: bool = False,
    restarts: int = 0,
    ready: bool = False,
    changed_s: float = 60,
    refused: str = "",
    spec: Object | None = None,
    **metadata: Any,
) -> Object:
    """A pod on its way; the containers' states are those of ``waiting``, ``running`` and ``ended``."""
    creating = waiting("PodInitializing")
    scheduled = {"type": "PodScheduled", "status": "False" if refused else "True", "message": refused}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "creationTimestamp": ago(begun_s),
            "annotations": {names.ANNOTATION_TEMPLATE: template},
            **metadata,
        },
        "spec": (spec or {}) | ({} if refused else {"nodeName": node}),
        "status": {
            "phase": "Running" if engine and "running" in engine else phase,
            "podIP": "10.0.0.7",
            **({} if refused else {"startTime": ago(begun_s)}),
            "conditions": [
                scheduled,
                {"type": "Ready", "status": str(ready), "lastTransitionTime": ago(changed_s)},
            ],
            "initContainerStatuses": []
            if refused
            else [
                {
                    "name": names.CONTAINER_FETCH,
                    "image": "registry.example.com/fetch:1",
                    "state": fetch or creating,
                    "lastState": fetch_last or {},
                    "restartCount": 1 if fetch_last else 0,
                }
            ],
            "containerStatuses": []
            if refused
            else [
                {
                    "name": names.CONTAINER_ENGINE,
                    "image": PULLED,
                    "state": engine or creating,
                    "lastState": engine_last or {},
                    "started": started,
                    "ready": ready,
                    "restartCount": restarts,
                }
            ],
        },
    }


def with_container(
    made: Object,
    name: str,
    state: Object,
    *,
    last: Object | None = None,
    kind: str = "containers",
    sidecar: bool = False,
    first: bool = False,
    started: bool = True,
    ready: bool = False,
    restarts: int = 0,
) -> Object:
    """The pod with a container that is not ours; ``kind`` is the list that it is in, ``first`` its place there."""
    ours = {"initContainers": names.CONTAINER_FETCH, "containers": names.CONTAINER_ENGINE}
    declared = {"name": name, **({"restartPolicy": "Always"} if sidecar else {})}
    for list_, container in ours.items():
        made["spec"].setdefault(list_, [{"name": container}])
    made["spec"][kind].insert(0 if first else len(made["spec"][kind]), declared)
    statuses = "containerStatuses" if kind == "containers" else "initContainerStatuses"
    made["status"][statuses].append(
        {
            "name": name,
            "image": f"registry.example.com/{name}:1",
            "state": state,
            "lastState": last or {},
            "started": started and "running" in state,
            "ready": ready,
            "restartCount": restarts or (1 if last else 0),
        }
    )
    return made


FETCHED = ended(0, f'{{"phase": "Done", "digest": "{DIGEST}", "bytesTotal": 270000000}}')


def fetched(
    digest: str = DIGEST,
    *,
    seconds: float = 31.4,
    fetched_bytes: int = 26_000_000_000,
    cache_hit: bool = False,
    waited: str | None = None,
    since_s: float = 10,
) -> Object:
    """A fetcher that ended well ``since_s`` seconds ago."""
    report = {
        "phase": "Done",
        "uri": "s3://models/smollm",
        "digest": digest,
        "mounted": False,
        "bytesTotal": 26_000_000_000,
        "cacheHit": cache_hit,
        "fetchedBytes": fetched_bytes,
        "seconds": seconds,
        "waitingForPod": waited,
    }
    return ended(0, json.dumps(report), since_s=since_s)


def serving(name: str = "smollm-1", **fields: Any) -> Object:
    """A pod that answers."""
    return pod(
        name, **{"fetch": FETCHED, "engine": running(600), "started": True, "ready": True, "begun_s": 700, **fields}
    )


def serving_repository(models: str = names.MODELS_ALL, *, ready_s: float = 60) -> Object:
    """A pod that answers and keeps a repository of models."""
    annotations = {names.ANNOTATION_TEMPLATE: NEW, names.ANNOTATION_MODELS: models}
    found = serving(changed_s=ready_s, annotations=annotations)
    http = {"name": names.PORT_HTTP, "containerPort": 8000}
    found["spec"]["containers"] = [{"name": names.CONTAINER_ENGINE, "ports": [http]}]
    return found


def loading(name: str = "smollm-1", **fields: Any) -> Object:
    """A pod whose engine loads the model."""
    return pod(name, **{"fetch": FETCHED, "engine": running(30), **fields})


def crashed(message: str, *, exit_code: int = 1, restarts: int = 1, reason: str = "Error", ran_s: float = 30) -> Object:
    """A pod whose engine ended and waits to be started again."""
    return pod(
        fetch=FETCHED,
        engine=waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container=engine"),
        engine_last=ended(exit_code, message, reason=reason, ran_s=ran_s),
        restarts=restarts,
    )


def event(reason: str, message: str, seen_s: float = 5, *, about: str = "smollm-1", field: str | None = None) -> Object:
    return {
        "involvedObject": {"name": about, **({"fieldPath": field} if field else {})},
        "reason": reason,
        "message": message,
        "lastTimestamp": ago(seen_s),
    }


def node(
    name: str = "worker-1",
    *,
    gpus: int = 0,
    unhealthy: int = 0,
    ready: bool = True,
    cordoned: bool = False,
    taints: tuple[str, ...] = (),
    labels: Mapping[str, str] | None = None,
) -> Object:
    """A node; ``gpus`` counts the healthy ones, ``taints`` are written as kubectl writes them: key=value:Effect."""
    return {
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {"unschedulable": cordoned, "taints": [_taint(written) for written in taints]},
        "status": {
            "allocatable": {GPU: _quantity(gpus)},
            "capacity": {GPU: _quantity(gpus + unhealthy)},
            "conditions": [{"type": "Ready", "status": str(ready), "message": "kubelet stopped posting node status"}],
        },
    }


def _quantity(count: int) -> str:
    """As the API server writes it: with the largest suffix that loses nothing."""
    return f"{count // 1000}k" if count and count % 1000 == 0 else str(count)


def _taint(written: str) -> Object:
    pair, _, effect = written.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect}


class World:
    """One observed world: what the cluster shows of the service and what was queried besides."""

    def __init__(
        self,
        *pods: Object,
        replicas: int = 1,
        deployment: Object | None = None,
        desired: Target | None = None,
        problem: InvalidError | NotReadyError | None = None,
        states: Mapping[str, FetchReport | None] | None = None,
        indexes: Mapping[str, Index | None] | None = None,
        events: Mapping[str, tuple[Object, ...]] | None = None,
        nodes: tuple[Object, ...] | None = None,
        taken: Mapping[str, int] | None = None,  # by node name
        service: Object | None = None,
        registered: Registered = UNKNOWN,
    ) -> None:
        self.pods = pods
        self.deployment = a_deployment(replicas) if deployment is None else deployment
        self.service = service or a_service(replicas=replicas)
        is_paused = "annotations" in self.service["metadata"]
        unresolved = isinstance(problem, InvalidError) or is_paused
        self.target = desired or (None if unresolved else target(replicas))
        self.problem = problem
        self.states = states or {}
        self.indexes = indexes or {}
        self.events = events or {}
        self.nodes = nodes
        self.taken = taken
        self.registered = registered

    def verdict(self, stored: Object | None = None, now: datetime = NOW) -> StatusUpdate:
        """What the operator makes of it, with ``stored`` as the status of the last time."""
        seen = facts(
            self._children(),
            fetch_states=self.states,
            indexes=self.indexes,
            events=self.events,
            hosts=None if self.nodes is None else self._hosts(self.nodes),
            nodes=self.nodes,
            resource=self.target.devices.resource if self.target else None,
            taken=None if self.taken is None else Counter({(name, GPU): count for name, count in self.taken.items()}),
            registered=self.registered,
        )
        body = self.service | {"status": stored} if stored is not None else self.service
        return status(Assessment(body, self.target, self.problem, seen, now))

    def _children(self) -> Children:
        deployments = {names.DEFAULT_POOL: self.deployment} if self.deployment else {}
        return Children(deployments, tuple(map(pod_facts, self.pods)))

    def _hosts(self, nodes: tuple[Object, ...]) -> dict[str, Object | None]:
        hosts = questions(self._children(), NOW).hosts
        return {name: next((n for n in nodes if text(n, "metadata", "name") == name), None) for name in hosts}


def conditions(update: StatusUpdate) -> dict[str, Object]:
    """The conditions by type."""
    return {condition["type"]: condition for condition in update.status["conditions"]}
