"""When the kubelet tries again, from its own words."""

import pytest

from modelyard.api.service import Object
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.reasons.kubelet import next_try
from tests.support.observed import NOW, ended, pod, running, waiting


@pytest.mark.parametrize(
    ("words", "wait_s"),
    [
        ("back-off 10s restarting failed container=engine pod=x", 10),
        ("back-off 1m20s restarting failed container=engine pod=x", 80),
        ("back-off 5m0s restarting failed container=engine pod=x", 300),
    ],
)
def test_the_wait_counts_from_the_end_of_the_run(words: str, wait_s: int) -> None:
    found = pod_facts(pod(engine=waiting("CrashLoopBackOff", words), engine_last=ended(1, since_s=10)))
    moment = next_try(found.engine)
    assert moment is not None
    assert (moment - NOW).total_seconds() == wait_s - 10


@pytest.mark.parametrize(
    ("engine", "last"),
    [
        pytest.param(waiting("CrashLoopBackOff", "back-off restarting"), ended(1), id="no time"),
        pytest.param(waiting("CrashLoopBackOff", "back-off 999m9s restarting"), ended(1), id="no such time"),
        pytest.param(waiting("CrashLoopBackOff", "back-off 10s restarting"), {}, id="no run before"),
        pytest.param(waiting("PodInitializing", "back-off 10s restarting"), ended(1), id="another wait"),
        pytest.param(running(3), ended(1), id="it runs"),
    ],
)
def test_nothing_is_claimed_of_a_next_try_that_is_not_known(engine: Object, last: Object) -> None:
    assert next_try(pod_facts(pod(engine=engine, engine_last=last)).engine) is None
