"""Who is let in, and who is not."""

from typing import Any

import pytest

from modelyard.api.service import Object
from modelyard.api.settings import Settings
from modelyard.controller.reconcile.drift import differing_field
from modelyard.desired import desired
from tests.support.factories import service
from tests.support.rendering import SETTINGS, resolved

OPERATOR = {
    "from": [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "modelyard-system"}},
            "podSelector": {
                "matchLabels": {"app.kubernetes.io/name": "modelyard", "app.kubernetes.io/component": "operator"}
            },
        }
    ],
    "ports": [{"protocol": "TCP", "port": 8000}, {"protocol": "TCP", "port": 9470}],
}


def policy(peers: list[Object], settings: Settings = SETTINGS) -> Object:
    children = desired(resolved(service(networkPolicy={"from": peers}), settings))
    return next(child for child in children if child["kind"] == "NetworkPolicy")


def test_an_empty_list_admits_only_the_operator() -> None:
    assert policy([])["spec"]["ingress"] == [OPERATOR]


def test_an_operator_outside_the_cluster_needs_no_way_in() -> None:
    alone = SETTINGS.model_copy(update={"operator_namespace": None})
    assert policy([], alone)["spec"]["ingress"] == []


def test_the_operators_namespace_is_where_it_runs_unless_the_settings_name_another() -> None:
    assert Settings(fetch_image="x").running_in("here").operator_namespace == "here"
    assert Settings(fetch_image="x", operator_namespace="there").running_in("here").operator_namespace == "there"


def test_peers_reach_the_engine_and_not_the_fetcher() -> None:
    peers: list[Object] = [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]
    assert policy(peers)["spec"]["ingress"] == [{"from": peers, "ports": [{"protocol": "TCP", "port": 8000}]}, OPERATOR]


@pytest.mark.parametrize(
    ("selector", "rendered"),
    [
        ({}, {}),
        ({"matchLabels": {}, "matchExpressions": []}, {}),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": []}]},
            {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
        ),
    ],
)
def test_what_the_api_server_would_drop_is_not_rendered_since_it_would_look_like_drift(
    selector: Object, rendered: Object
) -> None:
    [rule, _] = policy([{"namespaceSelector": selector}])["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": rendered}]


@pytest.mark.parametrize(
    "change",
    [
        {"ingress": [{}]},
        {"ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {}}], "ports": []}]},
        {"podSelector": {"matchLabels": {"no": "match"}}},
        {"policyTypes": ["Ingress", "Egress"]},
    ],
)
def test_what_others_change_in_it_is_seen(change: dict[str, Any]) -> None:
    rendered = policy([{"podSelector": {}}])
    assert differing_field(rendered, rendered | {"spec": rendered["spec"] | change}) is not None
    assert differing_field(rendered, rendered | {"metadata": rendered["metadata"] | {"uid": "x"}}) is None
