"""A rollout that no GPU is left for. The GPUs are counted, not real."""

import pytest

from e2e.support.kubectl import Kubectl, Object, condition, is_true
from e2e.support.services import pods_of, service
from tests.support.eventually import eventually

READY_S = 240
GPUS_OF_A_NODE = 4

pytestmark = pytest.mark.alone


def _message(kubectl: Kubectl, name: str, reason: str) -> str | None:
    """The message of whichever condition has that reason now."""
    conditions: list[Object] = (kubectl.get("infsvc", name).get("status") or {}).get("conditions") or []
    return next((str(c["message"]) for c in conditions if c["reason"] == reason), None)


def test_a_rollout_without_a_spare_gpu_reports_it_while_the_old_pods_serve_and_goes_on_once_one_is_free(
    namespace: Kubectl, standin: Object
) -> None:
    whole_nodes: Object = {"accelerator": {"type": "nvidia", "count": GPUS_OF_A_NODE}, "replicas": 2}
    namespace.apply(service("full", engine=standin, **whole_nodes))
    namespace.wait("infsvc/full", "jsonpath={.status.readyReplicas}=2", READY_S)
    assert {pod["spec"]["nodeName"] for pod in pods_of(namespace, "full")} == {"modelyard-worker", "modelyard-worker2"}

    namespace.apply(service("full", engine=standin | {"args": ["--max-num-seqs=3"]}, **whole_nodes))

    message = eventually(lambda: _message(namespace, "full", "RolloutLacksAccelerators"), within_s=60, every_s=1)
    assert "4 nvidia.com/gpu" in message
    body = namespace.get("infsvc", "full")
    assert body["status"]["readyReplicas"] == 2
    assert is_true(body, "Ready")

    namespace.run("scale", "infsvc/full", "--replicas=1")

    def rolled_out() -> bool:
        progressing = condition(namespace.get("infsvc", "full"), "Progressing")
        return progressing is not None and progressing["reason"] == "Complete"

    eventually(rolled_out, within_s=READY_S, every_s=1)
    (pod,) = pods_of(namespace, "full")
    assert any("--max-num-seqs=3" in argument for argument in pod["spec"]["containers"][0]["command"])
