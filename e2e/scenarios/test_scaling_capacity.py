"""Two GPUs, and load for five. The GPUs are a resource of this test's own, of which one node has two."""

import json
from collections.abc import Iterator

import pytest

from e2e.cluster.images import SPOT_WORKER
from e2e.support.kubectl import Kubectl, Object
from e2e.support.scaling import BUSY, UP_S, numbers, scaled, scaling_of, start, stays_so
from e2e.support.services import pods_of
from e2e.support.streams import streams
from tests.support.eventually import eventually

GPU = "example.com/scarce-gpu"
THERE_ARE = 2
CANCELLED_S = 90
"""The demand of the last seconds before the load's end has to fade, and a decision takes 15 s."""


@pytest.fixture(scope="module")
def two_gpus(cluster: Kubectl) -> Iterator[None]:
    """One node has two of them."""

    def offer(number: int) -> None:
        amounts = {GPU: str(number)}
        patch = {"status": {"capacity": amounts, "allocatable": amounts}}
        cluster.run(
            "patch", f"node/{SPOT_WORKER}", "--subresource=status", "--type=merge", f"--patch={json.dumps(patch)}"
        )

    offer(THERE_ARE)
    yield
    offer(0)


def _pending(kubectl: Kubectl, name: str) -> list[Object]:
    return [pod for pod in pods_of(kubectl, name) if not pod["spec"].get("nodeName")]


@pytest.mark.usefixtures("two_gpus")
def test_what_fits_is_reported_with_its_reason_and_what_does_not_is_cancelled_once_the_load_ends(
    namespace: Kubectl,
) -> None:
    body = scaled("short", {"maxReplicas": 5}, accelerator={"type": "nvidia", "resource": GPU})
    name = start(namespace, body)
    with numbers(namespace, name) as seen, streams(namespace, name, clients=3 * BUSY):
        limited = eventually(
            lambda: scaling_of(namespace, name), lambda found: found.get("achievable") == THERE_ARE, within_s=UP_S
        )
        assert limited["desired"] > THERE_ARE
        assert GPU in limited["message"]
        stays_so(lambda: scaling_of(namespace, name).get("achievable") == THERE_ARE, for_s=60)
        assert len(_pending(namespace, name)) == seen[-1] - THERE_ARE
        assert seen == sorted(seen)
    eventually(lambda: not _pending(namespace, name), within_s=CANCELLED_S, every_s=1)
    reasons = [change["reason"] for change in scaling_of(namespace, name)["history"]]
    assert "PendingCancelled" in reasons
