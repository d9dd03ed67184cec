"""What is decided for a service, on plain data: what is written and what goes, and what its status reports of that."""

from typing import Any

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract.errors import InvalidError
from modelyard.controller.reconcile.decide import Done, decide, outcome
from tests.support import factories
from tests.support.observed import conditions, serving
from tests.support.plans import applied, observed


def test_a_plan_shows_children_status_and_events_without_a_cluster() -> None:
    plan = decide(observed(factories.service()))
    assert plan.problem is None
    assert [child["kind"] for child in plan.children] == ["Service", "PodDisruptionBudget", "ConfigMap", "Deployment"]
    assert [write.child for write in plan.writes] == list(plan.children)
    update = outcome(plan)
    assert conditions(update)["Accepted"]["status"] == "True"
    assert update.status["url"] == "http://smollm.team-a.svc"
    assert [(event.type, event.reason) for event in update.events] == [("Normal", "Creating")]


def test_what_is_as_it_shall_be_is_not_written() -> None:
    there = applied(decide(observed(factories.service())).children)
    template = there[-1]["spec"]["template"]["metadata"]["annotations"]["serving.modelyard.dev/template"]
    plan = decide(observed(factories.service(), *there, pods=[serving(template=template)]))
    assert (plan.writes, plan.deletions, plan.retries, plan.external_changes) == ((), (), (), ())
    assert conditions(outcome(plan))["Progressing"]["reason"] == "Complete"


def test_a_wrong_spec_gives_a_plan_that_writes_nothing_and_explains_why() -> None:
    plan = decide(observed(factories.service(engine={"type": "unheard-of"})))
    assert (plan.children, plan.writes, plan.deletions) == ((), (), ())
    assert isinstance(plan.problem, InvalidError)
    found = conditions(outcome(plan))["Accepted"]
    assert (found["status"], found["reason"]) == ("False", "UnknownEngine")


def test_a_name_that_is_taken_is_shown_before_anything_is_written() -> None:
    theirs = factories.child(kinds.SERVICE, owner_uid=None, service_label=None)
    plan = decide(observed(factories.service(), theirs))
    assert (plan.writes, plan.deletions) == ((), ())
    assert conditions(outcome(plan))["Accepted"]["reason"] == "NameTaken"


def test_what_others_changed_is_reverted_and_reported_once_it_is_done() -> None:
    there = applied(decide(observed(factories.service())).children)
    edited = there[-1] | {"spec": there[-1]["spec"] | {"replicas": 7}}
    plan = decide(observed(factories.service(), *there[:-1], edited))
    assert [(write.child["kind"], write.edited) for write in plan.writes] == [("Deployment", "spec.replicas")]
    assert "Repaired" in [event.reason for event in outcome(plan).events]
    refused = outcome(plan, Done(problem=InvalidError("ChildRefused", "The cluster refuses Deployment smollm.")))
    assert "Repaired" not in [event.reason for event in refused.events]
    assert conditions(refused)["Accepted"]["reason"] == "ChildRefused"


def test_the_status_takes_up_what_was_written() -> None:
    there = applied(decide(observed(factories.service())).children)
    orphan: dict[str, Any] = there[-1] | {"metadata": there[-1]["metadata"] | {"ownerReferences": []}}
    template = orphan["spec"]["template"]["metadata"]["annotations"]["serving.modelyard.dev/template"]
    seen = observed(factories.service(), *there[:-1], orphan, pods=[serving(template=template)])
    plan = decide(seen)
    adopted: Object = there[-1]
    unseen = decide(observed(factories.service(), *there[:-1], pods=[serving(template=template)]))
    assert conditions(outcome(unseen))["Progressing"]["reason"] == "RollingOut"
    assert conditions(outcome(unseen, Done((adopted,))))["Progressing"]["reason"] == "Complete"
    assert "Adopted" in [event.reason for event in outcome(plan, Done((adopted,))).events]
