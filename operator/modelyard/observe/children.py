"""What the cache holds of a service, as facts; and what else is worth asking before its status is computed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from modelyard import names
from modelyard.api.service import Object
from modelyard.observe.nodes import NodeFacts, Requested, node_facts
from modelyard.observe.pods import PodFacts, pod_facts, silent_since
from modelyard.observe.reading import entry, number, text
from modelyard.signals.fetch_state import FetchState

SILENCE_S = 20.0
"""How long a pod may be prepared, or run unready, before its Events are looked up."""

_POD_NAME = re.compile(r'pods? "[^"]*"')
"""Refusals name the pod that could not be made: another name at each try, which would make each status a new one."""


@dataclass(frozen=True)
class Children:
    """What the cache holds of one service, raw."""

    deployment: Object | None
    pods: tuple[Object, ...]


@dataclass(frozen=True)
class DeploymentFacts:
    """The Deployment. ``observed``: its controller has seen its present spec; ``refusal``: why pods cannot be made."""

    template: str
    replicas: int
    observed: bool
    refusal: str


@dataclass(frozen=True)
class Facts:
    """All that is known of a service's children.

    ``hosts`` are the nodes of pods that do not answer, None for one that is gone; ``nodes`` are all nodes, and None
    while no pod waits for one.
    """

    deployment: DeploymentFacts | None
    pods: tuple[PodFacts, ...]
    hosts: Mapping[str, NodeFacts | None]
    nodes: tuple[NodeFacts, ...] | None


@dataclass(frozen=True)
class Questions:
    """What the children do not tell: fetchers to ask (pod uid -> address), pods (by uid) whose Events to list, nodes
    (by name) to look at, and whether all nodes and what pods take of them are of interest.
    """

    fetchers: Mapping[str, str]
    events: tuple[str, ...]
    hosts: frozenset[str]
    nodes: bool


def questions(children: Children, now: datetime) -> Questions:
    """What to ask before ``facts``: the fetchers that run, the Events of pods that have been silent for long, nodes."""
    pods = [pod for pod in map(pod_facts, children.pods) if pod.live]
    silent = ((pod.uid, silent_since(pod)) for pod in pods)
    return Questions(
        fetchers={pod.uid: pod.ip for pod in pods if pod.fetch.running and pod.ip},
        events=tuple(uid for uid, since in silent if since and (now - since).total_seconds() > SILENCE_S),
        hosts=frozenset(pod.node for pod in pods if pod.node and not pod.ready),
        nodes=any(pod.refused for pod in pods),
    )


def facts(
    children: Children,
    *,
    fetch_states: Mapping[str, FetchState | None],
    pod_events: Mapping[str, tuple[Object, ...]],
    hosts: Mapping[str, Object | None] | None = None,
    nodes: tuple[Object, ...] | None = None,
    accelerator_resource: str | None = None,
    taken: Requested | None = None,
) -> Facts:
    """The facts of a service's ``children``. Never raises, whatever the objects look like.

    ``fetch_states`` and ``pod_events`` are by pod uid, ``hosts`` by name; ``taken`` is what all pods together request.
    """
    pods = (
        pod_facts(pod, fetch_states.get(uid), pod_events.get(uid, ()))
        for pod, uid in ((pod, text(pod, "metadata", "uid")) for pod in children.pods)
    )

    def about(node: Object) -> NodeFacts:
        return node_facts(node, accelerator_resource, taken)

    return Facts(
        deployment=_deployment_facts(children.deployment) if children.deployment else None,
        pods=tuple(sorted(pods, key=lambda pod: (pod.name, pod.uid))),
        hosts={name: None if node is None else about(node) for name, node in (hosts or {}).items()},
        nodes=None if not nodes else tuple(map(about, nodes)),
    )


def _deployment_facts(deployment: Object) -> DeploymentFacts:
    generation = number(deployment, "metadata", "generation") or 0
    failure = entry(deployment, "status", "conditions", type="ReplicaFailure", status="True")
    replicas = number(deployment, "spec", "replicas")
    return DeploymentFacts(
        template=text(deployment, "spec", "template", "metadata", "annotations", names.ANNOTATION_TEMPLATE),
        replicas=1 if replicas is None else replicas,
        observed=(number(deployment, "status", "observedGeneration") or 0) >= generation,
        refusal=_POD_NAME.sub("pods", text(failure, "message")),
    )
