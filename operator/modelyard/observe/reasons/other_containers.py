"""How containers that are not ours affect a pod: those of podTemplate, and those that a webhook injects.

Init containers end before the next container starts, a native sidecar only has to have started. The pod is ready when
the sidecars and the containers beside the engine are ready too (Kubernetes' pages "Init Containers" and "Sidecar
Containers").
"""

from collections.abc import Mapping
from datetime import datetime

from modelyard.api.conditions import Explanation, sentence, timestamp
from modelyard.api.reasons import Reasons
from modelyard.observe.facts.pods import ContainerFacts, Ended, PodEvent, PodFacts, Role, Stage
from modelyard.observe.facts.service import SILENCE_S
from modelyard.observe.reasons.crash_loops import CRASH_LOOP_RESTARTS, NO_FAILURE, outlasts, settling_s
from modelyard.observe.reasons.kubelet import not_created, with_next_try
from modelyard.observe.reasons.startup_times import pace

_ENDED_BY_KUBELET = frozenset({0, 137, 143})
"""Exit codes of a container that is terminated, then killed."""

_ORDER = {Role.INIT: "it has to end before the next container starts", Role.SIDECAR: "its start-up probe must pass"}


def before_the_engine(
    pod: PodFacts, namespace: str, held: Mapping[str, Explanation], now: datetime
) -> Explanation | None:
    """How init containers and sidecars that are not ours hold ``pod`` up; ``held`` has the earlier explanations."""
    for container in pod.others:
        if container.role is not Role.MAIN and (found := _failure(container, pod, namespace, held, now)):
            return found
    awaited = awaited_container(pod)
    if awaited is None or pod.stage is not Stage.PREPARING:
        return None
    return _waiting(awaited, pod, _ORDER[awaited.role], now)


def beside_the_engine(
    pod: PodFacts, namespace: str, held: Mapping[str, Explanation], now: datetime
) -> Explanation | None:
    """What the containers beside the engine, sidecars included, keep ``pod`` from."""
    for container in pod.others:
        if container.role is Role.MAIN and (found := _failure(container, pod, namespace, held, now)):
            return found
    awaited = awaited_container(pod)
    if awaited is None or pod.stage is not Stage.STARTED:
        return None
    since = awaited.running_since
    if since is None or (now - since).total_seconds() < SILENCE_S:
        return _waiting(awaited, pod, "it is not ready yet", now)
    lost_after = pod.ready_changed if pod.ready_changed and pod.ready_changed > since else since
    event = _last_probe(awaited, pod)
    probe = "readiness" if awaited.started else "start-up"
    return Reasons.CONTAINER_NOT_READY.explain(
        container=awaited.name,
        since=timestamp(lost_after),
        cause=sentence(event.message) if event else f"its {probe} probe fails",
        namespace=namespace,
        pod=pod.name,
    )


def awaited_container(pod: PodFacts) -> ContainerFacts | None:
    """The container that is not ours and that ``pod`` waits for now, independently of the engine."""
    if pod.stage is Stage.PREPARING:
        begun = (container for container in pod.others if container.role is not Role.MAIN and container.running)
        return next((c for c in begun if c.role is Role.INIT or not c.started), None)
    if pod.stage is Stage.STARTED and pod.engine.ready:
        return next((c for c in pod.others if c.role is not Role.INIT and not c.ready), None)
    return None


def _waiting(container: ContainerFacts, pod: PodFacts, why: str, now: datetime) -> Explanation:
    event = _last_probe(container, pod)
    step = f"{why} ({sentence(event.message)})" if event else why
    return Reasons.WAITING_FOR_CONTAINER.explain(
        container=container.name, pace=pace(container.running_since, now, None), step=step
    )


def _failure(
    container: ContainerFacts, pod: PodFacts, namespace: str, held: Mapping[str, Explanation], now: datetime
) -> Explanation | None:
    if found := not_created(container, pod, namespace, held):
        return found
    over = _run_to_blame(container, pod, now)
    if over is None:
        return None
    code = "an unknown exit code" if over.exit_code is None else f"exit code {over.exit_code}"
    found = Reasons.CONTAINER_FAILED.explain(
        container=container.name,
        how=f"keeps ending, last with {code}" if container.restarts >= CRASH_LOOP_RESTARTS else f"ended with {code}",
        cause=_cause(container, over, pod),
        namespace=namespace,
        pod=pod.name,
    )
    return with_next_try(found, container)


def _run_to_blame(container: ContainerFacts, pod: PodFacts, now: datetime) -> Ended | None:
    """The run that failed, until a later one got further."""
    is_back = container.running and (outlasts(container, now) or (pod.ready and settling_s(pod, now) <= 0))
    waits_elsewhere = bool(container.waiting) and container.waiting != "CrashLoopBackOff"
    over = container.ended or (None if is_back or waits_elsewhere else container.last)
    if over is None or over.reason in NO_FAILURE:
        return None
    return None if container.role is Role.INIT and over.exit_code == 0 else over


def _cause(container: ContainerFacts, over: Ended, pod: PodFacts) -> str:
    if over.reason == "OOMKilled":
        return "it ran out of memory (OOMKilled), so raise its memory limit"
    event = _last_probe(container, pod)
    if event and over.exit_code in _ENDED_BY_KUBELET and not event.message.startswith("Readiness"):
        return f"the kubelet ended it for its probe: {sentence(event.message)}"
    if over.exit_code == 0:
        return "a container beside the engine must keep running"
    return sentence(over.message)


def _last_probe(container: ContainerFacts, pod: PodFacts) -> PodEvent | None:
    """The newest Event of a probe of the container that failed in its present run, or in its last one."""
    since = container.running_since or (container.last.started if container.last else None)
    of_it = (e for e in reversed(pod.events) if e.container == container.name and e.reason == "Unhealthy")
    return next((e for e in of_it if not (since and e.seen) or e.seen >= since), None)
