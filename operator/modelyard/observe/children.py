"""What the cache holds of a service, as facts; and what else is worth asking before its status is computed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from modelyard import names
from modelyard.api.service import Object
from modelyard.observe.pods import PodFacts, pod_facts, silent_since
from modelyard.observe.reading import at, entry, number, text
from modelyard.signals.fetch_state import FetchState
from modelyard.signals.repository_index import Index

SILENCE_S = 20.0
"""How long a pod may be prepared, or run unready, before its Events are looked up."""

PORTS = range(1, 65536)

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
class NodeFacts:
    """A node: how many accelerators of the wanted kind it offers, and how many are taken (None: not known)."""

    name: str
    ready: bool
    why_unready: str
    offered: int
    taken: int | None


@dataclass(frozen=True)
class Facts:
    """All that is known of a service's children. ``nodes`` is None when no nodes were handed in."""

    deployment: DeploymentFacts | None
    pods: tuple[PodFacts, ...]
    nodes: tuple[NodeFacts, ...] | None


@dataclass(frozen=True)
class Questions:
    """What the cache cannot tell: fetchers to ask (pod uid -> address), repositories of models to ask for their index
    (pod uid -> address with port), and pods (by uid) whose Events to list.
    """

    fetchers: Mapping[str, str]
    indexes: Mapping[str, str]
    events: tuple[str, ...]


def questions(children: Children, now: datetime) -> Questions:
    """What to ask before ``facts``: fetchers that run, repositories of pods that are ready, and the Events of pods that
    have been silent for long.
    """
    pods = [pod for pod in map(pod_facts, children.pods) if pod.live]
    silent = ((pod.uid, silent_since(pod)) for pod in pods)
    return Questions(
        fetchers={pod.uid: pod.ip for pod in pods if pod.fetch.running and pod.ip},
        indexes={
            pod.uid: f"{pod.ip}:{pod.http_port}"
            for pod in pods
            if pod.ready and pod.models is not None and pod.ip and pod.http_port in PORTS
        },
        events=tuple(uid for uid, since in silent if since and (now - since).total_seconds() > SILENCE_S),
    )


def facts(
    children: Children,
    *,
    fetch_states: Mapping[str, FetchState | None],
    pod_events: Mapping[str, tuple[Object, ...]],
    indexes: Mapping[str, Index | None] = MappingProxyType({}),
    nodes: tuple[Object, ...] | None = None,
    accelerator_resource: str | None = None,
    accelerators_taken: Mapping[str, int] | None = None,
) -> Facts:
    """The facts of a service's ``children``. Never raises, whatever the objects look like.

    ``fetch_states``, ``pod_events`` and ``indexes`` are by pod uid; ``accelerators_taken`` is what all pods together
    request of ``accelerator_resource``, by node name.
    """
    pods = (
        pod_facts(pod, fetch_states.get(uid), pod_events.get(uid, ()), indexes.get(uid))
        for pod, uid in ((pod, text(pod, "metadata", "uid")) for pod in children.pods)
    )
    return Facts(
        deployment=_deployment_facts(children.deployment) if children.deployment else None,
        pods=tuple(sorted(pods, key=lambda pod: (pod.name, pod.uid))),
        nodes=None
        if not nodes
        else tuple(_node_facts(node, accelerator_resource or "", accelerators_taken) for node in nodes),
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


def _node_facts(node: Object, resource: str, taken: Mapping[str, int] | None) -> NodeFacts:
    name = text(node, "metadata", "name")
    ready = entry(node, "status", "conditions", type="Ready")
    return NodeFacts(
        name=name,
        ready=ready.get("status") == "True",
        why_unready=text(ready, "message") or text(ready, "reason") or "it reports no Ready condition",
        offered=number(node, "status", "allocatable", resource) or 0 if _takes_pods(node) else 0,
        taken=None if taken is None else taken.get(name, 0),
    )


def _takes_pods(node: Object) -> bool:
    return at(node, "spec", "unschedulable") is not True
