"""When a container that failed counts as well again, so that neither Ready nor a reason follows each turn of a loop."""

from datetime import datetime, timedelta

from modelyard.observe.facts.pods import ContainerFacts, PodFacts, Role

CRASH_LOOP_RESTARTS = 3
"""From so many ends on, an unexplained failure is a loop."""

SETTLED_S = 30.0
"""How long a container that failed must be ready again before it counts as ready: else Ready would follow each turn."""

LOOP_SLACK = 1.5
LOOP_RUN_S = 600.0
"""A container that loops must also run LOOP_SLACK times as long as the run that failed, of which at most LOOP_RUN_S
count: after such a time the kubelet, too, resets its back-off (Kubernetes' page "Pod Lifecycle")."""

NO_FAILURE = frozenset({"ContainerStatusUnknown", "Unknown"})
"""How a run ends whose node was restarted, which is not the container's fault."""


def settling_s(pod: PodFacts, now: datetime) -> float:
    """Seconds until a ready pod, one of whose containers failed, counts as ready; zero for every other."""
    beside = (container for container in pod.others if container.role is not Role.INIT)
    return max(_settling_s(container, pod, now) for container in (pod.engine, *beside))


def _settling_s(container: ContainerFacts, pod: PodFacts, now: datetime) -> float:
    last, since = container.last, container.running_since
    if not (pod.ready and pod.ready_changed and since and last and last.reason not in NO_FAILURE):
        return 0.0
    waits_s = [SETTLED_S - (now - pod.ready_changed).total_seconds()]
    if container.restarts >= CRASH_LOOP_RESTARTS and last.ran_s and last.ran_s < LOOP_RUN_S:
        waits_s.append(LOOP_SLACK * last.ran_s - (now - since).total_seconds())
    return max(0.0, *waits_s)


def outlasts(container: ContainerFacts, now: datetime) -> bool:
    """The container's present run has lasted longer than the one that failed, by a margin."""
    if container.running_since is None:
        return False
    failed_s = min((container.last.ran_s if container.last else None) or 0.0, LOOP_RUN_S)
    return now - container.running_since > timedelta(seconds=max(SETTLED_S, LOOP_SLACK * failed_s))
