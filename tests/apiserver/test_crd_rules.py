"""Every CEL rule of the CRDs, judged by a real API server: what it accepts, what it refuses, and the words it uses."""

import pytest

from modelyard.api import crd
from modelyard.api.kinds import INFERENCE_SERVICE, SERVING_PROFILE, Kind
from tests.apiserver.crd_rules.case import Case, Changes
from tests.apiserver.crd_rules.profile import PROFILE_CASES, PROFILE_RULES
from tests.apiserver.crd_rules.service import CASES
from tests.support import crd_schema
from tests.support.api_client import Client, Object, RefusedError
from tests.support.inference_services import full, profile, with_field

ALL_CASES = [*((INFERENCE_SERVICE, case) for case in CASES), *((SERVING_PROFILE, case) for case in PROFILE_CASES)]
ACCEPTED = [
    pytest.param(kind, changes, id=f"{kind.kind}-{case.rule.place}-{changes}")
    for kind, case in ALL_CASES
    for changes in case.accepted
]
REFUSED = [
    pytest.param(kind, case, changes, id=f"{kind.kind}-{case.rule.place}-{changes}")
    for kind, case in ALL_CASES
    for changes in case.refused
]


def create(client: Client, kind: Kind, namespace: str, changes: Changes) -> None:
    """Have the full example with ``changes`` judged, and thrown away."""
    body: Object = full(namespace) if kind == INFERENCE_SERVICE else profile("every-rule")
    body.pop("status", None)
    for place, value in changes.items():
        body = with_field(body, place)
        body = crd_schema.changed(body, crd_schema.find(body, place), value)
    client.create(kind, body, dryRun="All")


def test_every_rule_of_the_crds_has_its_case() -> None:
    assert sorted(case.rule for case in CASES) == sorted(crd_schema.rules(crd.schema()))
    assert sorted(case.rule for case in PROFILE_CASES) == sorted(PROFILE_RULES)


def test_every_case_has_examples_on_both_sides() -> None:
    assert all(case.accepted and case.refused for _, case in ALL_CASES)


@pytest.mark.parametrize(("kind", "changes"), ACCEPTED)
def test_what_a_rule_allows_is_accepted(admin: Client, shared_namespace: str, kind: Kind, changes: Changes) -> None:
    create(admin, kind, shared_namespace, changes)


@pytest.mark.parametrize(("kind", "case", "changes"), REFUSED)
def test_what_a_rule_forbids_is_refused_in_its_words(
    admin: Client, shared_namespace: str, kind: Kind, case: Case, changes: Changes
) -> None:
    with pytest.raises(RefusedError) as refused:
        create(admin, kind, shared_namespace, changes)
    [cause] = refused.value.causes
    assert cause["field"] == case.blames
    assert cause["message"].startswith("Invalid value: ")
    assert cause["message"].endswith(f": {case.rule.message}")
