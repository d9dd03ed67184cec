"""What the cache holds of a service, as facts; and what else to read before its status is computed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Self

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.fetch_report import FetchReport
from modelyard.integrations.signals.repository_index import Index
from modelyard.observe.facts.csi_nodes import UNKNOWN, Registered
from modelyard.observe.facts.device_holders import Holder
from modelyard.observe.facts.nodes import NodeFacts, Requested, node_facts
from modelyard.observe.facts.pods import LONG_AGO, PodEvent, PodFacts, pod_event, silent_since, with_answers
from modelyard.observe.facts.raw_object import entry, moment, number, text

SILENCE_S = 20.0
"""How long a pod may be prepared, or run unready, before its Events are looked up."""

PORTS = range(1, 65536)

FAILED_CREATIONS = "FailedCreations"
"""Among Events by pod uid, those of ReplicaSets that could not make pods."""

FAILED_PREFETCHES = "FailedPrefetches"
"""Among Events by pod uid, those of the Job whose pods could not be made."""

RETRY_S = 30.0
"""How long pods are refused before their ReplicaSet is made to try again, and between two such tries."""

_EVENT_WORDS = re.compile(r"^(\(combined from similar events\): )?(Error creating: )?")
_POD_NAME = re.compile(r'pods? "[^"]*"')
"""Refusals name the pod that could not be made: another name at each try, which would make each status a new one."""


@dataclass(frozen=True)
class Children:
    """What there is of one service: its Deployments by pool and its Job, both raw, and its pods. ``prefetch_pods`` are
    those of ``job``.
    """

    deployments: Mapping[str, Object]
    pods: tuple[PodFacts, ...]
    job: Object | None = None
    prefetch_pods: tuple[PodFacts, ...] = ()


@dataclass(frozen=True)
class DeploymentFacts:
    """A Deployment. ``observed``: its controller has seen its present spec; ``refusal``: why pods cannot be made."""

    template: str
    replicas: int
    observed: bool
    refusal: str


@dataclass(frozen=True)
class Facts:
    """What is known of a service's children.

    ``deployments`` are by pool. ``hosts`` are the nodes of pods that do not answer, None for one that is gone;
    ``nodes`` are all nodes, and None while no pod waits for one; ``registered`` is where the node cache's driver
    runs, as far as a pod waits for it; ``prefetch_refusal``: why the pods that prefetch cannot be made;
    ``engine_version`` is what a pod reports whose launcher looks it up; ``holders`` hold the accelerators of the kind
    that pods wait for.
    """

    deployments: Mapping[str, DeploymentFacts]
    pods: tuple[PodFacts, ...]
    hosts: Mapping[str, NodeFacts | None]
    nodes: tuple[NodeFacts, ...] | None
    registered: Registered = UNKNOWN
    prefetch_pods: tuple[PodFacts, ...] = ()
    prefetch_refusal: str = ""
    engine_version: str | None = None
    holders: tuple[Holder, ...] = ()

    def after(self, written: Mapping[str, Object]) -> Self:
        """These once the Deployments in ``written``, by pool, were applied: raw, as the API server answered."""
        new = {name: deployment_facts(body) for name, body in written.items()}
        known = {
            name: replace(new[name], refusal=self.deployments[name].refusal) for name in new & self.deployments.keys()
        }
        return replace(self, deployments={**self.deployments, **new, **known})


@dataclass(frozen=True)
class Questions:
    """What to read beside the children: reports of fetchers (pod uid -> address), indexes of model repositories (pod
    uid -> address with port), an engine's version (address with port), Events (field selectors by pod uid, and one by
    FAILED_CREATIONS and by FAILED_PREFETCHES each), nodes (by name), and whether all nodes and the requests of pods (no
    older than ``refused_since``) are needed.
    """

    fetchers: Mapping[str, str]
    indexes: Mapping[str, str]
    version: str | None
    events: Mapping[str, str]
    hosts: frozenset[str]
    nodes: bool
    refused_since: datetime | None


def questions(children: Children, now: datetime) -> Questions:
    """What to read before ``facts``: fetchers that run, repositories of pods that are ready, the Events of pods that
    have been silent for long, nodes.
    """
    every = [*children.pods, *children.prefetch_pods]
    pods = [pod for pod in every if pod.live]
    silent = ((pod.uid, silent_since(pod)) for pod in pods)
    events = {uid: f"involvedObject.uid={uid}" for uid, since in silent if since and _is_long(since, now)}
    if any(map(_replica_failure, children.deployments.values())):
        events[FAILED_CREATIONS] = "involvedObject.kind=ReplicaSet,reason=FailedCreate"
    if children.job and not children.prefetch_pods and _is_long(_created(children.job) or now, now):
        events[FAILED_PREFETCHES] = f"involvedObject.uid={text(children.job, 'metadata', 'uid')},reason=FailedCreate"
    return Questions(
        fetchers={pod.uid: pod.ip for pod in pods if pod.fetch.running and pod.ip},
        indexes={
            pod.uid: f"{pod.ip}:{pod.http_port}"
            for pod in pods
            if pod.ready and pod.models is not None and pod.ip and pod.http_port in PORTS
        },
        version=next(
            (
                f"{pod.ip}:{pod.http_port}"
                for pod in sorted(pods, key=lambda pod: pod.created or LONG_AGO, reverse=True)
                if pod.ready and pod.looks_version_up and pod.ip and pod.http_port in PORTS
            ),
            None,
        ),
        events=events,
        hosts=frozenset(pod.node for pod in every if pod.node and not pod.ready),
        nodes=any(pod.refused for pod in pods),
        refused_since=max((pod.refused_since for pod in pods if pod.refused_since), default=None),
    )


def facts(
    children: Children,
    *,
    fetch_states: Mapping[str, FetchReport | None],
    events: Mapping[str, tuple[Object, ...]],
    indexes: Mapping[str, Index | None] = MappingProxyType({}),
    hosts: Mapping[str, Object | None] | None = None,
    nodes: tuple[Object, ...] | None = None,
    resource: str | None = None,
    taken: Requested | None = None,
    holders: tuple[Holder, ...] = (),
    registered: Registered = UNKNOWN,
    engine_version: str | None = None,
) -> Facts:
    """The facts of a service's ``children``. Never raises, whatever the objects look like.

    ``fetch_states``, ``indexes``, ``events`` and ``hosts`` are the answers to ``questions``, by the same keys;
    ``resource`` is what the pods request of devices, ``taken`` what all pods of the cluster together request,
    and ``holders`` which workloads these are of.
    """

    def with_reports(pods: tuple[PodFacts, ...]) -> tuple[PodFacts, ...]:
        found = (
            with_answers(pod, fetch_states.get(pod.uid), indexes.get(pod.uid), events.get(pod.uid, ())) for pod in pods
        )
        return tuple(sorted(found, key=lambda pod: (pod.name, pod.uid)))

    def about(node: Object) -> NodeFacts:
        return node_facts(node, resource, taken)

    return Facts(
        deployments={
            pool: deployment_facts(deployment, events.get(FAILED_CREATIONS, ()))
            for pool, deployment in children.deployments.items()
        },
        pods=with_reports(children.pods),
        hosts={name: None if node is None else about(node) for name, node in (hosts or {}).items()},
        nodes=None if not nodes else tuple(map(about, nodes)),
        registered=registered,
        engine_version=engine_version,
        holders=holders if nodes else (),
        prefetch_pods=with_reports(children.prefetch_pods),
        prefetch_refusal=_last_words(map(pod_event, events.get(FAILED_PREFETCHES, ()))),
    )


def _created(body: Object) -> datetime | None:
    return moment(body, "metadata", "creationTimestamp")


def _is_long(since: datetime, now: datetime) -> bool:
    return (now - since).total_seconds() > SILENCE_S


def wants_retry(deployment: Object | None, now: datetime) -> bool:
    """Whether the Deployment's controllers should be made to try again to make the pods that are refused.

    The ReplicaSet controller waits twice as long after each refusal, up to 1000 s (client-go's default rate limiter;
    seen to pass 160 s after three minutes), and does not notice that a quota was raised. A change of the Deployment's
    annotations reaches the ReplicaSet, and it tries at once.
    """
    failure = _replica_failure(deployment)
    since = moment(failure, "lastTransitionTime")
    retried = moment(deployment, "metadata", "annotations", names.ANNOTATION_RETRIED)
    last = max((moment_ for moment_ in (since, retried) if moment_), default=None)
    return bool(failure) and (last is None or (now - last).total_seconds() >= RETRY_S)


def deployment_facts(deployment: Object, failed_creations: tuple[Object, ...] = ()) -> DeploymentFacts:
    """The facts of a Deployment, as the API server sends it; ``failed_creations`` are Events of its ReplicaSets."""
    generation = number(deployment, "metadata", "generation") or 0
    replicas = number(deployment, "spec", "replicas")
    return DeploymentFacts(
        template=text(deployment, "spec", "template", "metadata", "annotations", names.ANNOTATION_TEMPLATE),
        replicas=1 if replicas is None else replicas,
        observed=(number(deployment, "status", "observedGeneration") or 0) >= generation,
        refusal=_refusal(deployment, failed_creations),
    )


def _replica_failure(deployment: Object | None) -> Object:
    return entry(deployment, "status", "conditions", type="ReplicaFailure", status="True")


def _refusal(deployment: Object, failed_creations: tuple[Object, ...]) -> str:
    """Why pods cannot be made now. The condition keeps the message of the first refusal; Events have the later ones.

    A ReplicaSet's name is its Deployment's with a hash behind it.
    """
    failure = _replica_failure(deployment)
    if not failure:
        return ""
    ours = re.compile(re.escape(text(deployment, "metadata", "name")) + r"-[a-z0-9]+")
    later = [
        event
        for event in map(pod_event, failed_creations)
        if ours.fullmatch(event.about)
        and event.seen
        and event.seen >= (moment(failure, "lastUpdateTime") or event.seen)
    ]
    return _last_words(later) or _POD_NAME.sub("pods", text(failure, "message"))


def _last_words(events: Iterable[PodEvent]) -> str:
    """The newest of the ``events`` about pods that could not be created; empty without any."""
    newest = max(events, key=lambda event: event.seen or LONG_AGO, default=None)
    return _POD_NAME.sub("pods", _EVENT_WORDS.sub("", newest.message)) if newest else ""
