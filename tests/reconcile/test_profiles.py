"""Profiles come, change and go: what services make of it, and that none is forgotten."""

from modelyard.api import kinds
from modelyard.api.service import Key
from modelyard.api.settings import Settings
from modelyard.contract import names
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import SETTINGS, RunningOperator

DRAINS_90_S = factories.profile(drain={"timeoutSeconds": 90})
OVERHEAD_S = SETTINGS.propagation_pause_s + 15
"""What a pod's grace period has beside the drain."""


def drain_s(cluster: InMemoryCluster, key: Key = KEY) -> int | None:
    """How long the service's desired pods may drain; None while there is no Deployment."""
    deployment = cluster.see(kinds.DEPLOYMENT, key)
    if deployment is None:
        return None
    return int(deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]) - OVERHEAD_S


def set_drain(cluster: InMemoryCluster, seconds: int) -> None:
    cluster.edit(
        kinds.SERVING_PROFILE, Key("", "gpu-small"), lambda body: body["spec"].update(drain={"timeoutSeconds": seconds})
    )


def refresh(cluster: InMemoryCluster, value: str) -> None:
    cluster.edit(
        kinds.INFERENCE_SERVICE,
        KEY,
        lambda body: body["metadata"].update(annotations={names.ANNOTATION_REFRESH: value}),
    )


async def test_a_service_has_the_profile_that_its_namespaces_label_names(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.namespace())
    cluster.put(DRAINS_90_S)
    cluster.put(factories.service())
    await operator.run()
    assert drain_s(cluster) == 90
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    assert service["status"]["effective"]["profile"] == "gpu-small"


async def test_a_new_service_has_its_profile_also_while_the_watches_are_late(cluster: InMemoryCluster) -> None:
    late = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    late.deliver()
    cluster.put(factories.namespace())
    cluster.put(DRAINS_90_S)
    await late.run()
    assert drain_s(cluster) == 90


async def test_a_namespace_and_its_profile_are_read_once(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(factories.namespace())
    cluster.put(DRAINS_90_S)
    cluster.put(factories.service())
    await operator.run()
    cluster.calls.clear()
    operator.queue.add(KEY)
    await operator.run()
    assert cluster.calls == []


async def test_the_settings_name_the_profile_of_services_without_another(
    cluster: InMemoryCluster,
) -> None:
    settings = Settings(fetch_image=SETTINGS.fetch_image, default_profile="gpu-small")
    operator = RunningOperator(cluster, settings=settings)
    cluster.put(DRAINS_90_S)
    cluster.put(factories.service())
    await operator.run()
    assert drain_s(cluster) == 90


async def test_a_service_waits_for_its_profile_and_goes_on_when_it_comes(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.profile("cpu"))
    cluster.put(factories.service(profile="gpu-small"))
    await operator.run()
    assert drain_s(cluster) is None
    assert condition(cluster, "Accepted")["reason"] == "UnknownProfile"
    assert "(cpu)" in condition(cluster, "Accepted")["message"]
    cluster.put(DRAINS_90_S)
    await operator.run()
    assert drain_s(cluster) == 90
    assert condition(cluster, "Accepted")["reason"] == "Accepted"


async def test_a_changed_profile_restarts_nothing_is_reported_and_is_applied_by_a_refresh(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(DRAINS_90_S)
    cluster.put(factories.service(profile="gpu-small"))
    await operator.run()
    set_drain(cluster, 120)
    await operator.run()
    assert drain_s(cluster) == 90
    assert "engine command --drain-s 90 -> 120" in condition(cluster, "UpdateAvailable")["message"]
    refresh(cluster, "1")
    await operator.run()
    assert drain_s(cluster) == 120
    assert condition(cluster, "UpdateAvailable")["reason"] == "UpToDate"


async def test_a_profile_put_back_takes_the_offer_back(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(DRAINS_90_S)
    cluster.put(factories.service(profile="gpu-small"))
    await operator.run()
    set_drain(cluster, 120)
    await operator.run()
    set_drain(cluster, 90)
    await operator.run()
    assert condition(cluster, "UpdateAvailable")["reason"] == "UpToDate"


async def test_a_changed_label_is_reported_by_all_services_of_the_namespace_and_restarts_none(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(DRAINS_90_S)
    cluster.put(factories.namespace(profile=None))
    cluster.put(factories.service())
    cluster.put(factories.service(name="other", uid="uid-of-other"))
    await operator.run()
    cluster.put(factories.namespace())
    await operator.run()
    for key in (KEY, Key("team-a", "other")):
        assert drain_s(cluster, key) == SETTINGS.drain_s
        assert "engine command --drain-s 60 -> 90" in condition(cluster, "UpdateAvailable", key)["message"]
    cluster.put(factories.namespace(profile=None))
    await operator.run()
    assert condition(cluster, "UpdateAvailable")["reason"] == "UpToDate"


async def test_a_deleted_profile_changes_nothing_and_is_reported(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(DRAINS_90_S)
    cluster.put(factories.service(profile="gpu-small"))
    await operator.run()
    before = cluster.see(kinds.DEPLOYMENT, KEY)
    cluster.remove(kinds.SERVING_PROFILE, Key("", "gpu-small"))
    await operator.run()
    assert cluster.see(kinds.DEPLOYMENT, KEY) == before
    accepted = condition(cluster, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "AcceptedAsRecorded")
    assert "names profile 'gpu-small', which does not exist" in accepted["message"]
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=3))
    await operator.run()
    scaled = cluster.see(kinds.DEPLOYMENT, KEY)
    assert scaled is not None
    assert scaled["spec"]["replicas"] == 3
    cluster.put(DRAINS_90_S)
    await operator.run()
    assert condition(cluster, "Accepted")["reason"] == "Accepted"
