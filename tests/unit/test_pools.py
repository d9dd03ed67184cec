"""A service of two pools, from its resolved spec to its status: the API has one so far, all behind it has several."""

from modelyard.api import kinds
from modelyard.api.service import Object, parse
from modelyard.contract import names
from modelyard.controller.reconcile.decide import decide, outcome, place_of
from modelyard.desired import desired
from modelyard.desired.pod import template_hash
from modelyard.desired.resolve import resolve
from modelyard.desired.resolved import Resolved
from modelyard.desired.template_record import recorded
from tests.support import factories
from tests.support.observed import conditions, loading, serving
from tests.support.plans import applied, observed
from tests.support.rendering import SETTINGS, deployment, resolved

BODY = factories.service(replicas=5)
SPLIT = {"default": 2, "spot": 3}
NEW = SETTINGS.model_copy(update={"fetch_image": "modelyard-fetch:0.2.0"})


def two_pools() -> Resolved:
    return resolve(parse(BODY), SETTINGS, split=SPLIT)


def deployments(children: list[Object]) -> dict[str, Object]:
    """The Deployments by name."""
    return {child["metadata"]["name"]: child for child in children if kinds.of(child) == kinds.DEPLOYMENT}


def template_of(child: Object) -> str:
    return template_hash(child["spec"]["template"])


def test_each_pool_has_a_deployment_with_its_replicas_and_pods_of_its_own() -> None:
    found = deployments(desired(two_pools()))
    assert {name: child["spec"]["replicas"] for name, child in found.items()} == {"smollm": 2, "smollm-spot": 3}
    for pool, child in zip(SPLIT, found.values(), strict=True):
        selector = child["spec"]["selector"]["matchLabels"]
        assert selector[names.LABEL_POOL] == child["metadata"]["labels"][names.LABEL_POOL] == pool
        assert selector.items() <= child["spec"]["template"]["metadata"]["labels"].items()
    assert len({template_of(child) for child in found.values()}) == 2


def test_the_default_pool_is_the_same_beside_another() -> None:
    alone = deployment(factories.service(replicas=2))
    assert deployments(desired(two_pools()))["smollm"] == alone


def test_service_and_budget_are_one_over_both_pools() -> None:
    children = desired(two_pools())
    others = [child for child in children if kinds.of(child) != kinds.DEPLOYMENT]
    assert others == [child for child in desired(resolved(BODY)) if kinds.of(child) != kinds.DEPLOYMENT]
    service, budget = others[0]["spec"]["selector"], others[1]["spec"]["selector"]["matchLabels"]
    for child in deployments(children).values():
        labels = child["spec"]["template"]["metadata"]["labels"]
        assert service.items() <= labels.items()
        assert budget.items() <= labels.items()


def test_each_pool_keeps_what_its_own_deployment_records() -> None:
    present = deployments(desired(two_pools()))["smollm"]
    record = recorded(present)
    assert record is not None
    later = resolve(parse(BODY), NEW, {"default": record}, split=SPLIT)
    assert [pool.inputs.fetch_image for pool in later.pools] == ["modelyard-fetch:0.1.0", "modelyard-fetch:0.2.0"]
    assert deployments(desired(later))["smollm"] == present


def test_the_status_is_over_both_pools() -> None:
    there = applied(decide(observed(BODY, split=SPLIT)).children)
    on_demand, spot = (template_of(child) for child in deployments(list(there)).values())
    pods = [
        *(serving(f"a-{n}", template=on_demand) for n in range(2)),
        *(serving(f"b-{n}", template=spot) for n in "12"),
    ]
    plan = decide(observed(BODY, *there, pods=[*pods, loading("b-3", template=spot)], split=SPLIT))
    assert (plan.writes, plan.deletions) == ((), ())
    under_way = outcome(plan)
    assert {name: under_way.status[name] for name in ("replicas", "readyReplicas", "desiredReplicas")} == {
        "replicas": 5,
        "readyReplicas": 4,
        "desiredReplicas": 5,
    }
    assert conditions(under_way)["Available"]["status"] == "False"
    all_serve = outcome(decide(observed(BODY, *there, pods=[*pods, serving("b-3", template=spot)], split=SPLIT)))
    assert conditions(all_serve)["Progressing"]["reason"] == "Complete"
    assert conditions(all_serve)["Available"]["status"] == "True"


def test_pods_that_one_pool_may_not_create_are_reported_beside_another_pool_that_is_complete() -> None:
    there = applied(decide(observed(BODY, split=SPLIT)).children)
    on_demand = template_of(deployments(list(there))["smollm"])
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: spot"}
    refused = there[-1] | {"status": {"observedGeneration": 1, "conditions": [failure]}}
    pods = [serving(f"a-{n}", template=on_demand) for n in range(2)]
    found = conditions(outcome(decide(observed(BODY, *there[:-1], refused, pods=pods, split=SPLIT))))
    assert (found["Ready"]["status"], found["Available"]["reason"]) == ("True", "QuotaExceeded")


def test_a_pool_that_goes_away_is_pruned_and_its_pods_are_not_counted_as_new() -> None:
    there = applied(decide(observed(BODY, split=SPLIT)).children)
    of_spot = serving("b-1", template=template_of(deployments(list(there))["smollm-spot"]))
    plan = decide(observed(BODY, *there, pods=[of_spot], split={"default": 5}))
    assert [place_of(child)[1].name for child in plan.deletions] == ["smollm-spot"]
    assert [(write.child["metadata"]["name"], write.child["spec"]["replicas"]) for write in plan.writes] == [
        ("smollm", 5)
    ]
    update = outcome(plan)
    assert update.status["desiredReplicas"] == 5
    assert conditions(update)["Available"]["status"] == "False"
