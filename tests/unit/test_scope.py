"""Where an installation lists objects."""

from modelyard.api import kinds
from modelyard.api.scope import EVERYWHERE, WHOLE_CLUSTER, Scope


def test_an_installation_for_the_cluster_lists_everything_at_once() -> None:
    assert WHOLE_CLUSTER.is_cluster
    assert {WHOLE_CLUSTER.places(kind) for kind in kinds.WATCHED} == {(EVERYWHERE,)}


def test_one_for_some_namespaces_lists_namespaced_kinds_in_each() -> None:
    scope = Scope(("team-a", "team-b"))
    assert not scope.is_cluster
    assert scope.places(kinds.POD) == ("team-a", "team-b")
    assert scope.places(kinds.NODE) == (EVERYWHERE,)
