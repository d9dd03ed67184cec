"""The watches, by kopf, on a real API server: what reaches the cache and the queue, and that they write nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import kopf
import pytest

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.kubernetes_client import KubernetesCluster
from modelyard.controller.cluster.login import credentials, login
from modelyard.controller.dispatch import resync, watch
from modelyard.controller.dispatch.workqueue import WorkQueue
from tests.support import factories
from tests.support.api_client import Client
from tests.support.apiserver import ApiServer, serves
from tests.support.eventually import eventually
from tests.support.inference_services import minimal
from tests.support.optional_kind import CRD, WIDGETS, bring
from tests.support.wire import is_watch, wire

CRDS = kinds.Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")

PATIENCE_S = 60.0
"""Ends a test that fails; one that passes waits for a watch event, which takes milliseconds."""

EVERYWHERE = tuple(kind for kind in kinds.WATCHED if not kind.optional)
"""The kinds that every cluster has."""


class Watching:
    """Watches that run."""

    def __init__(self, login: watch.Login) -> None:
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(asyncio.get_running_loop(), lambda: 1.0)
        self.lost: list[kinds.Kind] = []
        self.watches = watch.Watches(
            self.cache, self.queue, login, lambda _: None, lost=self._lose, spawned=lambda: None
        )

    def _lose(self, kind: kinds.Kind) -> None:
        self.cache.lose(kind)
        self.lost.append(kind)

    async def queued(self, key: Key, once: Callable[[], bool] = lambda: True) -> None:
        """Return when ``key`` has come out of the queue while ``once`` holds."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.queue.get()
                self.queue.done(found)
                if found == key and once():
                    return

    @property
    def is_idle(self) -> bool:
        """Whether no service waits, nor will in a moment."""
        return not len(self.queue) and not self.queue._later

    async def drain(self) -> None:
        """Take what waits, and what will in a moment."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.is_idle:
                self.queue.done(await self.queue.get())


@asynccontextmanager
async def watching(apiserver: ApiServer, url: str = "") -> AsyncIterator[Watching]:
    configuration = await login(apiserver.kubeconfig(url=url))
    made = Watching(lambda: credentials(configuration))
    started = asyncio.Event()
    running = asyncio.create_task(made.watches.run(started.set))
    await started.wait()
    try:
        yield made
    finally:
        await made.watches.stop()
        await running


def deployment(namespace: str) -> Object:
    """A child as the API server takes it."""
    labels = {"app": "x"}
    body = factories.child(
        kinds.DEPLOYMENT,
        namespace=namespace,
        spec={
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    )
    for given_by_the_server in ("uid", "resourceVersion"):
        del body["metadata"][given_by_the_server]
    return body


def pod(namespace: str, *, on: str) -> Object:
    """A pod of the service on a node, as the API server takes it."""
    body = factories.pod(namespace=namespace, spec={"nodeName": on, "containers": [{"name": "c", "image": "i"}]})
    for given_by_the_server in ("uid", "resourceVersion"):
        del body["metadata"][given_by_the_server]
    return body


async def test_a_child_that_is_made_edited_and_deleted_queues_its_service_each_time(
    apiserver: ApiServer, admin: Client, namespace: str
) -> None:
    key = Key(namespace, "smollm")
    async with watching(apiserver) as watches:
        created = await asyncio.to_thread(admin.create, kinds.DEPLOYMENT, deployment(namespace))
        await watches.queued(key, lambda: watches.cache.get(kinds.DEPLOYMENT, key) is not None)
        created["spec"]["replicas"] = 3
        edited = await asyncio.to_thread(admin.replace, kinds.DEPLOYMENT, created)

        def is_edited() -> bool:
            known = watches.cache.get(kinds.DEPLOYMENT, key)
            return known is not None and known["metadata"]["resourceVersion"] == edited["metadata"]["resourceVersion"]

        await watches.queued(key, is_edited)
        await asyncio.to_thread(admin.delete, kinds.DEPLOYMENT, "smollm", namespace)
        await watches.queued(key, lambda: watches.cache.get(kinds.DEPLOYMENT, key) is None)


async def test_a_child_that_loses_our_label_and_gets_it_back_is_seen_both_times(
    apiserver: ApiServer, admin: Client, namespace: str
) -> None:
    key = Key(namespace, "smollm")
    async with watching(apiserver) as watches:
        created = await asyncio.to_thread(admin.create, kinds.DEPLOYMENT, deployment(namespace))
        await watches.queued(key, lambda: watches.cache.get(kinds.DEPLOYMENT, key) is not None)
        label = created["metadata"]["labels"].pop(names.LABEL_APP_MANAGED_BY)
        unlabelled = await asyncio.to_thread(admin.replace, kinds.DEPLOYMENT, created)
        await watches.queued(key, lambda: watches.cache.get(kinds.DEPLOYMENT, key) is None)
        unlabelled["metadata"]["labels"][names.LABEL_APP_MANAGED_BY] = label
        await asyncio.to_thread(admin.replace, kinds.DEPLOYMENT, unlabelled)
        await watches.queued(key, lambda: watches.cache.get(kinds.DEPLOYMENT, key) is not None)


async def test_objects_without_our_label_are_not_even_sent(apiserver: ApiServer, admin: Client, namespace: str) -> None:
    foreign = deployment(namespace)
    foreign["metadata"]["labels"] = {names.LABEL_SERVICE: "smollm"}
    await asyncio.to_thread(admin.create, kinds.DEPLOYMENT, foreign)
    ours = deployment(namespace)
    ours["metadata"]["name"] = "ours"
    async with watching(apiserver) as watches:
        await asyncio.to_thread(admin.create, kinds.DEPLOYMENT, ours)
        await watches.queued(Key(namespace, "smollm"))
        here = [
            body["metadata"]["name"]
            for body in watches.cache.all_of(kinds.DEPLOYMENT)
            if body["metadata"]["namespace"] == namespace
        ]
        assert here == ["ours"]


async def test_what_existed_before_the_watches_is_delivered_as_well(
    apiserver: ApiServer, admin: Client, namespace: str
) -> None:
    created = await asyncio.to_thread(admin.create, kinds.INFERENCE_SERVICE, minimal(namespace))
    async with watching(apiserver) as watches:
        await watches.queued(Key(namespace, created["metadata"]["name"]))


async def test_a_node_that_is_cordoned_queues_the_service_with_a_pod_there_and_a_heartbeat_does_not(
    apiserver: ApiServer, admin: Client, namespace: str
) -> None:
    key = Key(namespace, "smollm")
    node = await asyncio.to_thread(admin.create, kinds.NODE, {"metadata": {"generateName": "worker-"}})
    name = node["metadata"]["name"]
    async with watching(apiserver) as watches:
        await asyncio.to_thread(admin.create, kinds.POD, pod(namespace, on=name))
        await watches.queued(key, lambda: len(watches.cache.pods(key)) == 1)

        def is_known(version: str) -> bool:
            known = watches.cache.get(kinds.NODE, Key("", name))
            return known is not None and known["metadata"]["resourceVersion"] == version

        await asyncio.to_thread(eventually, lambda: is_known(node["metadata"]["resourceVersion"]))
        await watches.drain()
        node["status"]["conditions"] = [
            {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
        ]
        ready = await asyncio.to_thread(admin.replace, kinds.NODE, node, "status")
        await watches.queued(key, lambda: is_known(ready["metadata"]["resourceVersion"]))
        await watches.drain()
        ready["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-01T00:05:00Z"
        beaten = await asyncio.to_thread(admin.replace, kinds.NODE, ready, "status")
        await asyncio.to_thread(eventually, lambda: is_known(beaten["metadata"]["resourceVersion"]))
        assert watches.is_idle
        beaten["spec"]["unschedulable"] = True
        cordoned = await asyncio.to_thread(admin.replace, kinds.NODE, beaten)
        await watches.queued(key, lambda: is_known(cordoned["metadata"]["resourceVersion"]))


async def test_a_watch_that_was_cut_off_silently_is_begun_anew(
    apiserver: ApiServer, admin: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "INACTIVITY_TIMEOUT_S", 1.0)
    with wire(apiserver) as way:
        async with watching(apiserver, way.url) as watches:
            await asyncio.to_thread(eventually, lambda: way.count(is_watch) >= len(EVERYWHERE))
            assert way.mute(is_watch) >= len(EVERYWHERE)
            created = await asyncio.to_thread(admin.create, kinds.INFERENCE_SERVICE, minimal(namespace))
            await watches.queued(Key(namespace, created["metadata"]["name"]))
        assert all(
            f"timeoutSeconds={watch.SERVER_TIMEOUT_S}" in one.request for one in way.seen if is_watch(one.request)
        )


async def test_kopf_writes_nothing_on_a_service(apiserver: ApiServer, admin: Client, namespace: str) -> None:
    created = await asyncio.to_thread(admin.create, kinds.INFERENCE_SERVICE, minimal(namespace))
    name = created["metadata"]["name"]
    key = Key(namespace, name)
    async with watching(apiserver) as watches:
        await watches.queued(key)
        created["spec"]["replicas"] = 2
        changed = await asyncio.to_thread(admin.replace, kinds.INFERENCE_SERVICE, created)
        await watches.queued(
            key, lambda: (watches.cache.get(kinds.INFERENCE_SERVICE, key) or created)["spec"]["replicas"] == 2
        )
    assert await asyncio.to_thread(admin.get, kinds.INFERENCE_SERVICE, name, namespace) == changed


@pytest.fixture
def widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator knows an optional kind, and a LIST waits for no watch."""
    bring(monkeypatch)
    monkeypatch.setattr(resync, "WATCH_LAG_S", 0.0)


def widget(namespace: str) -> Object:
    """A child of a kind that only tests know, as the API server takes it."""
    body = factories.child(WIDGETS, namespace=namespace)
    for given_by_the_server in ("uid", "resourceVersion"):
        del body["metadata"][given_by_the_server]
    return body


def install(admin: Client) -> None:
    admin.create(CRDS, CRD)
    eventually(lambda: serves(admin, WIDGETS))


def uninstall(admin: Client) -> None:
    admin.delete(CRDS, CRD["metadata"]["name"])
    eventually(lambda: not serves(admin, WIDGETS))


def resyncing(watches: Watching, cluster: KubernetesCluster) -> resync.Resync:
    """The regular LIST, which finds the optional kinds to watch."""

    async def follow(behind: frozenset[kinds.Kind]) -> None:
        await watches.watches.follow(kinds.WATCHED.keys() - watches.cache.absent_kinds, behind)

    return resync.Resync(cluster, watches.cache, watches.queue, follow, random=lambda: 0.5)


@pytest.mark.usefixtures("widgets")
async def test_an_optional_kind_is_watched_once_it_is_installed_and_until_it_goes(
    apiserver: ApiServer, admin: Client, cluster: KubernetesCluster, namespace: str
) -> None:
    key = Key(namespace, "smollm")
    async with watching(apiserver) as watches:
        lists = resyncing(watches, cluster)
        await lists.first()
        assert watches.cache.absent_kinds == {WIDGETS, kinds.SCALED_OBJECT}
        for _ in range(2):
            watches.lost.clear()
            await asyncio.to_thread(install, admin)
            await lists.again()
            assert watches.cache.absent_kinds == {kinds.SCALED_OBJECT}
            await asyncio.to_thread(admin.create, WIDGETS, widget(namespace))
            await watches.queued(key, lambda: watches.cache.get(WIDGETS, key) is not None)
            await asyncio.to_thread(uninstall, admin)
            await asyncio.to_thread(eventually, lambda: watches.lost == [WIDGETS])
            assert watches.cache.get(WIDGETS, key) is None
        created = await asyncio.to_thread(admin.create, kinds.INFERENCE_SERVICE, minimal(namespace))
        await watches.queued(Key(namespace, created["metadata"]["name"]))


@pytest.mark.usefixtures("widgets")
async def test_a_watch_that_began_before_the_api_server_knew_the_kind_is_begun_anew(
    apiserver: ApiServer,
    admin: Client,
    cluster: KubernetesCluster,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = Key(namespace, "smollm")
    async with watching(apiserver) as watches:
        lists = resyncing(watches, cluster)
        await watches.watches.follow({WIDGETS})
        await asyncio.to_thread(eventually, lambda: "Unresolved resources" in caplog.text)
        await asyncio.to_thread(install, admin)
        await lists.first()
        created = await asyncio.to_thread(admin.create, WIDGETS, widget(namespace))
        await lists.again()
        created["spec"] = {"size": 2}
        changed = await asyncio.to_thread(admin.replace, WIDGETS, created)

        def is_seen() -> bool:
            known = watches.cache.get(WIDGETS, key)
            return known is not None and known["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]

        await watches.queued(key, is_seen)
        await asyncio.to_thread(uninstall, admin)


@pytest.mark.parametrize("kind", kinds.WATCHED)
def test_every_kind_has_its_selector_on_the_server(kind: kinds.Kind) -> None:
    chosen = watch.settings().watching.label_selectors
    resource = kopf.Resource(kind.group, kind.version, kind.plural, kind=kind.kind)
    assert list(chosen.collect(resource)) == [selector for selector in [kinds.WATCHED[kind]] if selector]
