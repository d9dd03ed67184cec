"""The first content that a pod verifies is the one of its revision: who writes it down, and what never changes it."""

import json

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.desired import content_pin
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
CONFIG_MAP = Key(KEY.namespace, content_pin.config_map_name(KEY.name))


def kept(cluster: InMemoryCluster) -> list[str]:
    """The digests that are written down, the present revision's last."""
    found = cluster.see(kinds.CONFIG_MAP, CONFIG_MAP)
    return list(content_pin.contents(found).values())


def pod(cluster: InMemoryCluster, digest: str, name: str = "smollm-1", minute: int = 20) -> Object:
    """A pod of the present template, whose fetcher verified ``digest`` at that minute."""
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    template = deployment["spec"]["template"]
    terminated = {"exitCode": 0, "message": json.dumps({"phase": "Done", "digest": digest, "mounted": False})}
    ended = {
        "name": names.CONTAINER_FETCH,
        "state": {"terminated": terminated | {"finishedAt": f"2026-01-01T00:{minute}:00Z"}},
    }
    status = {"phase": "Pending", "initContainerStatuses": [ended]}
    body = factories.pod(name=name, uid=f"uid-of-{name}", spec=template["spec"] | {"nodeName": "worker"}, status=status)
    body["metadata"]["annotations"] = template["metadata"]["annotations"]
    return body


async def test_what_the_first_pod_verified_is_kept_for_those_after_it(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    assert kept(cluster) == []
    cluster.put(pod(cluster, DIGEST))
    await operator.run()
    assert kept(cluster) == [DIGEST]
    cluster.put(pod(cluster, OTHER, "late", minute=21))
    cluster.remove(kinds.POD, Key(KEY.namespace, "smollm-1"))
    await operator.run()
    assert kept(cluster) == [DIGEST]


async def test_of_pods_that_raced_the_first_decides_and_the_other_is_reported(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(replicas=2))
    await operator.run()
    cluster.put(pod(cluster, OTHER, "a", minute=21))
    cluster.put(pod(cluster, DIGEST, "b", minute=20))
    await operator.run()
    assert kept(cluster) == [DIGEST]
    assert condition(cluster, "ModelCached")["reason"] == "ContentsDiffer"


async def test_what_was_verified_of_one_revision_does_not_count_for_the_next(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    cluster.put(pod(cluster, DIGEST, "old"))
    model = {"uri": "s3://models/smollm2-135m", "revision": "2"}
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(model=model))
    await operator.run()
    assert kept(cluster) == [DIGEST]
    cluster.put(pod(cluster, OTHER, "new", minute=21))
    await operator.run()
    assert kept(cluster) == [DIGEST, OTHER]


async def test_what_a_prefetching_pod_verified_first_holds_those_that_serve(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    prefetching = pod(cluster, DIGEST, "prefetching")
    prefetching["metadata"]["labels"][names.LABEL_APP_COMPONENT] = names.COMPONENT_PREFETCH
    cluster.put(prefetching)
    cluster.put(pod(cluster, OTHER, "late", minute=21))
    await operator.run()
    assert kept(cluster) == [DIGEST]


async def test_what_another_process_recorded_is_kept_by_one_that_has_not_seen_it(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    successor = RunningOperator(cluster, watches=False)
    await successor.resync()
    await successor.run()
    first = pod(cluster, DIGEST)
    digests = content_pin.with_verified({}, {_key(first): DIGEST})
    cluster.edit(kinds.CONFIG_MAP, CONFIG_MAP, lambda body: body.update(data=digests))
    successor.cache.upsert(kinds.POD, pod(cluster, OTHER, "late", minute=21))
    successor.queue.add(KEY)
    await successor.run()
    assert kept(cluster) == [DIGEST]


def _key(pod: Object) -> str:
    (fetcher,) = (c for c in pod["spec"]["initContainers"] if c["name"] == names.CONTAINER_FETCH)
    return str(next(variable["value"] for variable in fetcher["env"] if variable["name"] == names.ENV_REVISION_KEY))


async def test_a_deleted_config_map_comes_back_from_what_pods_verified(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service())
    await operator.run()
    cluster.put(pod(cluster, DIGEST))
    await operator.run()
    cluster.remove(kinds.CONFIG_MAP, CONFIG_MAP)
    await operator.run()
    assert kept(cluster) == [DIGEST]
