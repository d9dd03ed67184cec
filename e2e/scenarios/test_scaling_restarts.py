"""The operator is killed while a service scales, twice. Runs alone."""

import pytest

from e2e.support.installation import Installation
from e2e.support.kubectl import Kubectl
from e2e.support.scaling import BUSY, history, numbers, scaled, serves, start
from e2e.support.streams import streams
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

STEP_S = 240


def test_an_operator_killed_in_mid_scale_twice_neither_forgets_nor_jumps(
    namespace: Kubectl, installation: Installation
) -> None:
    one_by_one = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}]}
    name = start(namespace, scaled("survives", {"maxReplicas": 3, "scaleUp": one_by_one}))
    with numbers(namespace, name) as seen, streams(namespace, name, clients=BUSY) as busy:
        eventually(lambda: seen[-1] >= 2, within_s=STEP_S, every_s=0.1)
        installation.kill()
        eventually(lambda: seen[-1] >= 3, within_s=STEP_S, every_s=0.1)
        installation.kill()
        serves(namespace, name, 3)
        assert seen == [1, 2, 3]
        assert history(namespace, name) == [(1, 2), (2, 3)]
        assert busy.errors() == []
