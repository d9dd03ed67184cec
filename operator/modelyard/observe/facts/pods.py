"""One pod, as facts: where it is, how far its containers came, how they ended last."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum, IntEnum
from functools import cached_property
from typing import Any

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.fetch_report import FetchReport, parse
from modelyard.integrations.signals.repository_index import Index
from modelyard.observe.facts.nodes import Placement, placement
from modelyard.observe.facts.raw_object import at, entries, entry, moment, number, text

LONG_AGO = datetime.fromtimestamp(0, UTC)

_OURS = frozenset({names.CONTAINER_FETCH, names.CONTAINER_ENGINE})
_CONTAINER = re.compile(r"spec\.\w+\{([a-z0-9-]{1,63})\}")
"""The field of a pod that an Event about one of its containers names."""


class Stage(IntEnum):
    """How far a pod is on its way; a later one is more advanced."""

    UNSCHEDULED = 0
    PREPARING = 1
    FETCHING = 2
    STARTING = 3
    STARTED = 4
    READY = 5


@dataclass(frozen=True)
class Ended:
    """How a container's run ended."""

    exit_code: int | None
    reason: str
    message: str
    started: datetime | None
    finished: datetime | None

    @property
    def ran_s(self) -> float | None:
        """How long it ran, in seconds."""
        return (self.finished - self.started).total_seconds() if self.started and self.finished else None


class Role(Enum):
    """When a container runs: to its end before the next one starts, from before the engine's start on, or beside it."""

    INIT = "init container"
    SIDECAR = "native sidecar"
    MAIN = "container"


@dataclass(frozen=True)
class ContainerFacts:
    """One container. ``ended`` is its present state, ``last`` the run before this one; ``started``: its start-up probe
    passed; ``ready``: its readiness probe did, too.
    """

    name: str = ""
    role: Role = Role.MAIN
    image: str = ""
    waiting: str = ""
    waiting_message: str = ""
    running: bool = False
    running_since: datetime | None = None
    ended: Ended | None = None
    last: Ended | None = None
    started: bool = False
    ready: bool = False
    restarts: int = 0

    @property
    def is_ours(self) -> bool:
        """The fetcher or the engine; any other is of podTemplate, or injected."""
        return self.name in _OURS

    @property
    def has_run(self) -> bool:
        """It was created at least once."""
        return self.running or self.ended is not None or self.last is not None


@dataclass(frozen=True)
class PodEvent:
    """An Event about a pod, or about the ReplicaSet that makes it; ``about`` is the object's name, ``container`` the
    name of the pod's container, if it is about one.
    """

    about: str
    reason: str
    message: str
    seen: datetime | None
    container: str = ""


@dataclass(frozen=True)
class PodFacts:
    """A pod. ``template`` is the template hash in its annotation; ``refused`` is the scheduler's message while no
    node takes it, ``placement`` then has the nodes that it accepts; ``claims`` are the volume claims that it mounts;
    ``failure`` and ``failure_message`` are the kubelet's reason for giving up the whole pod. ``models`` is what
    names.ANNOTATION_MODELS requires of its repository (None: it has none), ``index`` what the repository reports,
    at ``http_port``. ``revision_key`` names the model's URI and revision (names.ENV_REVISION_KEY; empty: unknown);
    ``looks_version_up``: its launcher looks the engine's version up, which has no other source.
    ``uses_node_cache``: it mounts the node cache. ``others`` are the containers that are not ours, in the
    order in which they start; ``owner_uids`` are those of what made the pod.
    """

    name: str
    uid: str
    template: str
    node: str
    ip: str
    phase: str
    stopping: bool
    created: datetime | None
    begun: datetime | None
    ready: bool
    ready_changed: datetime | None
    scheduled: bool
    refused: str
    refused_since: datetime | None
    placement: Placement
    claims: tuple[str, ...]
    failure: str
    failure_message: str
    revision_key: str
    uses_node_cache: bool
    fetch: ContainerFacts
    engine: ContainerFacts
    others: tuple[ContainerFacts, ...] = ()
    fetch_state: FetchReport | None = None
    models: tuple[str, ...] | None = None
    http_port: int | None = None
    index: Index | None = None
    looks_version_up: bool = False
    owner_uids: tuple[str, ...] = ()
    events: tuple[PodEvent, ...] = field(default=(), compare=False)

    @property
    def live(self) -> bool:
        """It may still serve: neither finished nor terminating."""
        return not self.stopping and self.phase not in {"Failed", "Succeeded"}

    @property
    def fetched(self) -> bool:
        """Its model is complete: the fetcher ended well, or the engine runs."""
        return (self.fetch.ended is not None and self.fetch.ended.exit_code == 0) or self.engine.running

    @property
    def fetch_report(self) -> FetchReport | None:
        """The fetcher's state: its current report, else its termination message."""
        if self.fetch_state:
            return self.fetch_state
        return parse(self.fetch.ended.message) if self.fetch.ended else None

    @cached_property
    def verified(self) -> FetchReport | None:
        """The final report of a fetcher that verified a content; None for a mounted model."""
        ended = self.fetch.ended
        state = parse(ended.message) if ended and ended.exit_code == 0 else None
        return state if state and state.digest and not state.mounted else None

    @property
    def stage(self) -> Stage:
        if self.ready:
            return Stage.READY
        if not self.scheduled:
            return Stage.UNSCHEDULED
        if self.engine.running:
            return Stage.STARTED if self.engine.started else Stage.STARTING
        if self.fetch.has_run and not self.fetched:
            return Stage.FETCHING
        return Stage.STARTING if self.engine.has_run else Stage.PREPARING


def pod_facts(pod: Any) -> PodFacts:
    """The facts of ``pod``, a Pod as the API server sends it. Never raises."""
    ready = entry(pod, "status", "conditions", type="Ready")
    scheduled = entry(pod, "status", "conditions", type="PodScheduled")
    stopping = at(pod, "metadata", "deletionTimestamp") is not None
    phase = text(pod, "status", "phase")
    models = text(pod, "metadata", "annotations", names.ANNOTATION_MODELS)
    container = entry(pod, "spec", "containers", name=names.CONTAINER_ENGINE)
    engine = _container(pod, names.CONTAINER_ENGINE, Role.MAIN)
    refused = text(scheduled, "message") if scheduled.get("status") == "False" else ""
    volumes = entries(pod, "spec", "volumes")
    claims = (text(volume, "persistentVolumeClaim", "claimName") for volume in volumes)
    fetcher = entry(pod, "spec", "initContainers", name=names.CONTAINER_FETCH)
    return PodFacts(
        name=text(pod, "metadata", "name"),
        uid=text(pod, "metadata", "uid"),
        template=text(pod, "metadata", "annotations", names.ANNOTATION_TEMPLATE),
        node=text(pod, "spec", "nodeName"),
        ip=text(pod, "status", "podIP"),
        phase=phase,
        stopping=stopping,
        created=moment(pod, "metadata", "creationTimestamp"),
        begun=moment(pod, "status", "startTime"),
        ready=ready.get("status") == "True" and engine.running and not stopping and phase == "Running",
        ready_changed=moment(ready, "lastTransitionTime"),
        scheduled=bool(text(pod, "spec", "nodeName")) or scheduled.get("status") == "True",
        refused=refused,
        refused_since=moment(scheduled, "lastTransitionTime") if refused else None,
        placement=placement(pod) if refused else Placement(),
        claims=tuple(claim for claim in claims if claim),
        failure=text(pod, "status", "reason"),
        failure_message=text(pod, "status", "message"),
        revision_key=text(entry(fetcher, "env", name=names.ENV_REVISION_KEY), "value"),
        uses_node_cache=any(text(volume, "csi", "driver") == names.CSI_DRIVER for volume in volumes),
        fetch=_container(pod, names.CONTAINER_FETCH, Role.INIT),
        engine=engine,
        others=tuple(container for container in _others(pod) if not container.is_ours),
        models=tuple(models.split(",")) if models else None,
        looks_version_up=_has_argument(container, "--package="),
        http_port=number(entry(container, "ports", name=names.PORT_HTTP), "containerPort"),
        owner_uids=tuple(text(owner, "uid") for owner in entries(pod, "metadata", "ownerReferences")),
    )


def _has_argument(container: Object, beginning: str) -> bool:
    command = container.get("command")
    words = command if isinstance(command, list) else []
    return any(isinstance(word, str) and word.startswith(beginning) for word in words)


def with_answers(
    pod: PodFacts, fetch_state: FetchReport | None, index: Index | None, events: tuple[Object, ...]
) -> PodFacts:
    """``pod`` with its fetcher's report, its repository's index and its raw Events. Never raises."""
    found = tuple(sorted(map(pod_event, events), key=lambda event: event.seen or LONG_AGO))
    return replace(pod, fetch_state=fetch_state, index=index, events=found)


def _others(pod: Any) -> Iterator[ContainerFacts]:
    for container in entries(pod, "spec", "initContainers"):
        role = Role.SIDECAR if container.get("restartPolicy") == "Always" else Role.INIT
        yield _container(pod, text(container, "name"), role)
    for container in entries(pod, "spec", "containers"):
        yield _container(pod, text(container, "name"), Role.MAIN)


def _container(pod: Any, name: str, role: Role) -> ContainerFacts:
    statuses = "containerStatuses" if role is Role.MAIN else "initContainerStatuses"
    status = entry(pod, "status", statuses, name=name)
    return ContainerFacts(
        name=name,
        role=role,
        image=text(status, "image"),
        waiting=text(status, "state", "waiting", "reason"),
        waiting_message=text(status, "state", "waiting", "message"),
        running=isinstance(at(status, "state", "running"), dict),
        running_since=moment(status, "state", "running", "startedAt"),
        ended=_ended(at(status, "state", "terminated")),
        last=_ended(at(status, "lastState", "terminated")),
        started=at(status, "started") is True,
        ready=at(status, "ready") is True,
        restarts=number(status, "restartCount") or 0,
    )


def _ended(terminated: Any) -> Ended | None:
    if not isinstance(terminated, dict):
        return None
    return Ended(
        exit_code=number(terminated, "exitCode"),
        reason=text(terminated, "reason"),
        message=text(terminated, "message"),
        started=moment(terminated, "startedAt"),
        finished=moment(terminated, "finishedAt"),
    )


def pod_event(event: Object) -> PodEvent:
    """The facts of a core Event."""
    seen = moment(event, "series", "lastObservedTime") or moment(event, "lastTimestamp") or moment(event, "eventTime")
    container = _CONTAINER.fullmatch(text(event, "involvedObject", "fieldPath"))
    return PodEvent(
        text(event, "involvedObject", "name"),
        text(event, "reason"),
        text(event, "message"),
        seen or moment(event, "metadata", "creationTimestamp"),
        container[1] if container else "",
    )


def silent_since(pod: PodFacts) -> datetime | None:
    """Since when the pod is being prepared, runs unready or has a container of the user's in a crash loop, for a cause
    that only its Events may explain.
    """
    loops = any(container.waiting == "CrashLoopBackOff" for container in pod.others)
    if not pod.live or (pod.stage not in {Stage.PREPARING, Stage.STARTED} and not loops):
        return None
    return (pod.ready_changed if pod.stage is Stage.STARTED else None) or pod.begun or pod.created
