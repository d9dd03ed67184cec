"""Where an installation asks for objects."""

from modelyard.api import kinds
from modelyard.api.scope import EVERYWHERE, WHOLE_CLUSTER, Scope


def test_an_installation_for_the_cluster_asks_for_everything_at_once() -> None:
    assert WHOLE_CLUSTER.is_cluster
    assert {WHOLE_CLUSTER.places(kind) for kind in kinds.WATCHED} == {(EVERYWHERE,)}


def test_one_for_some_namespaces_asks_in_each_for_what_lies_in_namespaces() -> None:
    scope = Scope(("team-a", "team-b"))
    assert not scope.is_cluster
    assert scope.places(kinds.POD) == ("team-a", "team-b")
    assert scope.places(kinds.NODE) == (EVERYWHERE,)
