"""A version that only the image knows is shown as a pod reports it."""

import pytest

from modelyard.api import kinds
from modelyard.integrations.signals.engine_version import parse
from tests.reconcile.test_models import ADDRESS, answering_pod
from tests.support import factories
from tests.support.conditions import KEY
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator


def version(cluster: InMemoryCluster) -> str:
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    return str(service["status"]["effective"]["engineVersion"])


async def test_an_unknown_version_is_shown_once_a_pod_reports_it_and_stays(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(engine={"image": "lmcache/vllm-openai:v0.3.9"}))
    await operator.run()
    assert version(cluster) == "unknown"

    operator.versions[ADDRESS] = "0.11.0"
    cluster.put(answering_pod(cluster))
    await operator.run()
    assert version(cluster) == "0.11.0"

    operator.versions.clear()
    await operator.run(for_s=600)
    await operator.resync()
    await operator.run()
    assert version(cluster) == "0.11.0"


async def test_a_known_version_is_not_read_from_the_pod_again(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(engine={"image": "vllm/vllm-openai:v0.30.0"}))
    operator.versions[ADDRESS] = "0.11.0"
    await operator.run()
    cluster.put(answering_pod(cluster))
    await operator.run()
    assert version(cluster) == "0.30.0"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b'{"version": "0.9.2.dev364+gb432b7a28.rocm641"}', "0.9.2.dev364+gb432b7a28.rocm641"),
        (b'{"version": 32}', None),
        (b'{"version": "a b"}', None),
        (b'{"version": "' + b"1" * 64 + b'"}', None),
        (b"[" * 100_000, None),
        (b"0.32.0", None),
        (None, None),
    ],
)
def test_only_a_version_is_believed(answer: bytes | None, found: str | None) -> None:
    assert parse(answer) == found
