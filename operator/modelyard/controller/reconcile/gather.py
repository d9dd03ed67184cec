"""Reads all inputs of one reconcile: the cache, and what only the API server, pods and nodes have."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Key, Object, Service, key_of, parse
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import FetchReport
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster
from modelyard.controller.reconcile.accelerator_usage import NodeUsage
from modelyard.controller.reconcile.csi_drivers import NodeDrivers
from modelyard.controller.reconcile.decide import Kept, Observed, Overruled, Place, place_of
from modelyard.controller.reconcile.intent import Intent, SpecContext, intent_of
from modelyard.controller.reconcile.ownership import Ownership, ownership
from modelyard.controller.reconcile.revert_limits import Reverts
from modelyard.desired import content_pin
from modelyard.desired.metadata import deployment_name, pool_of
from modelyard.desired.profile_defaults import ProfileLookup, named
from modelyard.desired.replicas import decided_replicas, is_automatic, pools, replicas_by_pool
from modelyard.integrations.signals.repository_index import Index
from modelyard.observe.facts import service as observed
from modelyard.observe.facts.autoscalers import ForeignAutoscaler, foreign_autoscalers
from modelyard.observe.facts.field_managers import has_default_replicas, replicas_writer
from modelyard.observe.facts.pods import PodFacts, pod_facts
from modelyard.observe.model_status import verified_digests
from modelyard.observe.reasons.csi_driver import nodes_in_doubt
from modelyard.observe.target import ScalingReport
from modelyard.prefetch.plan import State, job_for, pods_of
from modelyard.prefetch.round import job_of

ReadFetchState = Callable[[str], Awaitable[FetchReport | None]]
ReadIndex = Callable[[str], Awaitable[Index | None]]
ReadVersion = Callable[[str], Awaitable[str | None]]
ReadScalingReport = Callable[[Object], ScalingReport | None]


class Pods(NamedTuple):
    """The pods of one service."""

    serving: tuple[PodFacts, ...]
    prefetching: tuple[PodFacts, ...]


class Look:
    """Reads of one reconcile: no object is read twice. Every method raises ApiError."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache
        self._answers: dict[Place, Object | None] = {}

    async def known(self, kind: Kind, place: Key) -> Object | None:
        """The object as last observed."""
        return self._cache.get(kind, place)

    async def live(self, kind: Kind, place: Key) -> Object | None:
        """The object as it is now, or as it was read before."""
        if (kind, place) not in self._answers:
            self._answers[kind, place] = await self._cluster.get(kind, place)
        return self._answers[kind, place]

    async def known_or_live(self, kind: Kind, place: Key) -> Object | None:
        """The object as last observed, or, if nothing was, as it is now.

        An apply cannot be limited to creation, so an object that the cache does not know is read first.
        """
        if (kind, place) not in self._answers and (known := self._cache.get(kind, place)):
            self._answers[kind, place] = known
        return await self.live(kind, place)


class Gatherer:
    """Shared by all services. ``read_fetch_state`` takes the address of a pod with a fetcher; ``read_index`` and
    ``read_version`` take the address with port of a pod's model repository and of its engine. ``reverts`` are the
    latest ones of all children. ``scaling_report`` gives the last scaling decision for a service.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        cache: Cache,
        reverts: Reverts,
        *,
        read_fetch_state: ReadFetchState,
        read_index: ReadIndex,
        read_version: ReadVersion,
        scaling_report: ReadScalingReport,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._cache = cache
        self._reverts = reverts
        self._node_usage = NodeUsage(cluster, now, sees_all=settings.scope.is_cluster)
        self._node_drivers = NodeDrivers(
            cluster, cache, agents_namespace=settings.operator_namespace if settings.scope.is_cluster else None
        )
        self._read_fetch_state = read_fetch_state
        self._read_index = read_index
        self._read_version = read_version
        self._scaling_report = scaling_report
        self._now = now

    async def gather(self, key: Key) -> Observed | None:
        """All that is read for the service, once; None where it is deleted. Raises ApiError.

        Children are read last, so that little time passes before a write.
        """
        body = self._cache.get(kinds.INFERENCE_SERVICE, key)
        if body is None:
            return None
        now, look = self._now(), Look(self._cluster, self._cache)
        pods = Pods(tuple(map(pod_facts, self._cache.pods(key))), tuple(map(pod_facts, self._cache.prefetch_pods(key))))
        service, intent = await self._intent(body, look, pods, now)
        facts, unread = None, None
        try:
            facts = await self._facts(body, intent, pods, now)
        except ApiError as error:
            unread = error
        places = [place_of(child) for child in intent.children] if service and not service.deleting else []
        return Observed(
            body=body,
            service=service,
            intent=intent,
            now=now,
            facts=facts,
            unread=unread,
            existing={place: await look.known_or_live(*place) for place in places},
            related=tuple(child.body for child in self._cache.children(key)),
            reverts={place: self._reverts.history(*place, now) for place in places},
            scaling=self._scaling_report(body),
            foreign=self._foreign_autoscalers(body),
            overruled=await self._overruled(service, look) if service else None,
            kept=await self._kept(service, look) if service else None,
        )

    def _foreign_autoscalers(self, body: Object) -> tuple[ForeignAutoscaler, ...]:
        key = key_of(body)
        return foreign_autoscalers(
            self._cache.autoscalers(key),
            key.name,
            [place_of(child)[1].name for child in self._deployments(key, body["metadata"]["uid"]).values()],
            is_scaled=is_automatic(body),
        )

    async def _overruled(self, service: Service, look: Look) -> Overruled | None:
        """That another writer than our scaling set spec.replicas. Its name is read live: the cache has none."""
        decided, written = decided_replicas(service), service.spec.replicas
        if decided in {None, written} or service.spec.scaling is None or service.spec.scaling.mode != "Auto":
            return None
        live = await look.live(kinds.INFERENCE_SERVICE, service.key)
        writer = replicas_writer(live) if live else ""
        if not writer or writer == names.SCALING_FIELD_MANAGER:
            return None
        assert decided is not None
        return Overruled(writer, written, decided)

    async def _kept(self, service: Service, look: Look) -> Kept | None:
        """The number that scaling decided on, where a file has dropped both scaling and replicas: a default would take
        its place. As long as the cache is behind, the number that is written by now.
        """
        decided, written = decided_replicas(service), service.spec.replicas
        if decided in {None, written} or service.paused or service.deleting:
            return None
        if service.spec.scaling and service.spec.scaling.mode == "Auto":
            return None
        live = await look.live(kinds.INFERENCE_SERVICE, service.key)
        if live is None or live["metadata"]["uid"] != service.uid:
            return None
        if live["metadata"]["generation"] != service.generation:
            return Kept(live, live["spec"]["replicas"])
        assert decided is not None
        return Kept(live, decided) if has_default_replicas(live) else None

    async def _intent(self, body: Object, look: Look, pods: Pods, now: datetime) -> tuple[Service | None, Intent]:
        """The service, None if it cannot be parsed, and its intent."""
        try:
            service = parse(body)
        except InvalidError as problem:
            return None, Intent(problem=problem)
        return service, intent_of(service, await self._context(service, look, pods), self._settings, now)

    async def _context(self, service: Service, look: Look, pods: Pods) -> SpecContext:
        key = service.key
        deployments: dict[str, Object] = {}
        for pool in pools(service):
            place = Key(key.namespace, deployment_name(key.name, pool))
            if body := await look.known_or_live(kinds.DEPLOYMENT, place):
                deployments[pool] = body
        running = {pool: observed.deployment_facts(body).replicas for pool, body in deployments.items()}
        return SpecContext(
            split=replicas_by_pool(service, running),
            deployments=deployments,
            profile=await self._profile(service, look, is_first=not deployments),
            contents=await self._contents(service, look, (*pods.serving, *pods.prefetching)),
            prefetching=State(
                self._own(kinds.JOB, job_of(key), key, service.uid),
                pods.prefetching,
                pods.serving,
                self._cache.all_of(kinds.NODE),
                writes_labels=self._settings.scope.is_cluster,
            ),
            absent_kinds=self._cache.absent_kinds,
        )

    async def _profile(self, service: Service, look: Look, *, is_first: bool) -> ProfileLookup | None:
        """The profile that is named for the service, and the object of that name.

        Before the first pods it is read live: with a watch that lags by a moment they would be created without it.
        """
        read = look.live if is_first else look.known
        chosen = named(service, await read(kinds.NAMESPACE, Key("", service.key.namespace)), self._settings)
        if chosen is None:
            return None
        known = tuple(body["metadata"]["name"] for body in self._cache.all_of(kinds.SERVING_PROFILE))
        return ProfileLookup(chosen, await read(kinds.SERVING_PROFILE, Key("", chosen.name)), known)

    async def _contents(self, service: Service, look: Look, pods: tuple[PodFacts, ...]) -> Mapping[str, str]:
        """The digests of what the service's revisions were served with, by content_pin.key.

        Before the ConfigMap is made or added to, it is read live: what it holds must never change.
        """
        place = Key(service.key.namespace, content_pin.config_map_name(service.key.name))
        cached = await look.known(kinds.CONFIG_MAP, place)
        known, verified = _own_contents(cached, service), verified_digests(pods)
        is_kept = content_pin.is_kept(service.spec.model) and not service.paused
        if verified.keys() <= known.keys() and (cached is not None or not is_kept):
            return known
        return content_pin.with_verified(_own_contents(await look.live(kinds.CONFIG_MAP, place), service), verified)

    async def _facts(self, body: Object, intent: Intent, pods: Pods, now: datetime) -> observed.Facts:
        """Facts of the service in ``body``: its children, and what pods, Events and nodes report. Raises ApiError."""
        key, uid = key_of(body), body["metadata"]["uid"]
        job = self._own(kinds.JOB, job_of(key), key, uid)
        present = job_for(intent.prefetch.request, job) if intent.prefetch else None
        children = observed.Children(
            self._deployments(key, uid), pods.serving, present, pods_of(present, pods.prefetching)
        )
        questions = observed.questions(children, now)
        states = await asyncio.gather(*(self._read_fetch_state(address) for address in questions.fetchers.values()))
        indexes = await asyncio.gather(*(self._read_index(address) for address in questions.indexes.values()))
        version = await self._read_version(questions.version) if questions.version else None
        lists = (self._cluster.list_events(key.namespace, about) for about in questions.events.values())
        events = await asyncio.gather(*lists)
        resource = intent.target.devices.resource if intent.target else None
        taken = await self._node_usage.taken(questions.refused_since) if questions.nodes and resource else None
        facts = observed.facts(
            children,
            fetch_states=dict(zip(questions.fetchers, states, strict=True)),
            indexes=dict(zip(questions.indexes, indexes, strict=True)),
            engine_version=version,
            events=dict(zip(questions.events, events, strict=True)),
            hosts=self._hosts(questions.hosts),
            nodes=self._cache.all_of(kinds.NODE) if questions.nodes else None,
            resource=resource,
            taken=taken,
            holders=self._node_usage.holders(resource) if taken is not None and resource else (),
        )
        doubtful = nodes_in_doubt((*facts.pods, *facts.prefetch_pods))
        return replace(facts, registered=await self._node_drivers.registered(doubtful))

    def _deployments(self, key: Key, uid: str) -> dict[str, Object]:
        """The service's Deployments, by pool."""
        return {
            pool_of(key.name, child.body["metadata"]["name"]): child.body
            for child in self._cache.children(key)
            if child.kind == kinds.DEPLOYMENT and ownership(child.body, key.name, uid) is Ownership.OURS
        }

    def _own(self, kind: Kind, place: Key, service: Key, uid: str) -> Object | None:
        """The child at ``place``, if it is the service's."""
        child = self._cache.get(kind, place)
        return child if child and ownership(child, service.name, uid) is Ownership.OURS else None

    def _hosts(self, names: Iterable[str]) -> dict[str, Object | None]:
        """These nodes; none at all while no node is known, as in a cluster whose nodes are not shown to us."""
        found = {name: self._cache.get(kinds.NODE, Key("", name)) for name in names}
        return found if any(found.values()) or self._cache.all_of(kinds.NODE) else {}


def _own_contents(config_map: Object | None, service: Service) -> dict[str, str]:
    """What ``config_map`` holds, where it is the service's own or about to become so."""
    whose = ownership(config_map, service.key.name, service.uid) if config_map else Ownership.FOREIGN
    return content_pin.contents(config_map) if whose in {Ownership.OURS, Ownership.ORPHAN} else {}
