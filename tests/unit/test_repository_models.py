"""A pod that Kubernetes calls ready makes its service Ready only if its models can be queried, where that is known."""

import pytest

from modelyard.integrations.signals.repository_index import Index, IndexedModel
from tests.support.observed import World, conditions, serving, serving_repository

UID = "uid-of-smollm-1"
DOUBLE, REVERSE = IndexedModel("double", "READY"), IndexedModel("reverse", "READY")
BROKEN = IndexedModel("reverse", "UNAVAILABLE", "Internal: RuntimeError: weights are missing")
UNLOADED = IndexedModel("reverse", "UNAVAILABLE", "unloaded")
NEVER_LOADED = IndexedModel("reverse", "")


def world(models: str, index: Index | None, *, ready_s: float = 60) -> World:
    return World(serving_repository(models, ready_s=ready_s), indexes={UID: index})


def ready(world: World) -> tuple[str, str]:
    found = conditions(world.verdict())["Ready"]
    return found["status"], found["reason"]


@pytest.mark.parametrize(
    ("models", "index"),
    [
        ("*", (DOUBLE, REVERSE)),
        ("double", (DOUBLE, NEVER_LOADED)),
        ("double,reverse", (DOUBLE, REVERSE, IndexedModel("count", "UNAVAILABLE"))),
        ("*", (IndexedModel("double", "UNAVAILABLE", "unloaded"), DOUBLE)),
    ],
)
def test_models_that_are_ready_make_the_service_ready(models: str, index: Index) -> None:
    assert ready(world(models, index)) == ("True", "Ready")


@pytest.mark.parametrize(
    ("models", "index", "words"),
    [
        ("*", (), "the repository is empty"),
        ("*", (DOUBLE, BROKEN), "reverse is unavailable (Internal: RuntimeError: weights are missing)"),
        ("*", (DOUBLE, NEVER_LOADED), "reverse is not loaded"),
        ("double,reverse", (DOUBLE, UNLOADED), "reverse is unavailable (unloaded)"),
        ("double,reverse", (DOUBLE,), "reverse is not in the repository"),
        ("a,b,c,d,e", (), "a is not in the repository, b is not in the repository, c is not in the repository, and 2"),
    ],
)
def test_a_model_that_is_not_ready_is_named_and_the_service_is_not_ready(models: str, index: Index, words: str) -> None:
    found = conditions(world(models, index).verdict())
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "ModelsNotReady")
    assert f"not every model is ready: {words}" in found["Ready"]["message"]
    assert found["Available"]["status"] == "False"
    assert found["Stalled"]["reason"] == "ModelsNotReady"


def test_one_such_pod_among_others_is_a_degraded_service() -> None:
    found = conditions(
        World(serving_repository(), serving("smollm-2"), replicas=2, indexes={UID: (DOUBLE, BROKEN)}).verdict()
    )
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("True", "Degraded")
    assert "reverse is unavailable" in found["Ready"]["message"]


def test_an_index_that_cannot_be_read_is_waited_for_and_readiness_is_then_believed() -> None:
    assert ready(world("*", None, ready_s=2)) == ("False", "Starting")
    assert ready(world("*", None, ready_s=60)) == ("True", "Ready")


def test_what_was_known_of_the_models_stays_while_they_cannot_be_read() -> None:
    stored = world("*", ()).verdict().status
    unknown, known = world("*", None).verdict(stored), world("*", (DOUBLE,)).verdict(stored)
    assert conditions(unknown)["Ready"] == conditions(world("*", ()).verdict(stored))["Ready"]
    assert unknown.events == ()
    assert conditions(known)["Ready"]["status"] == "True"


def test_a_pod_without_a_repository_is_not_judged_by_one() -> None:
    assert ready(World(serving(), indexes={UID: ()})) == ("True", "Ready")


@pytest.mark.parametrize(
    ("index", "ready_s", "after_s"), [((DOUBLE,), 60, 30), ((), 60, 5), (None, 2, 5), (None, 60, 30)]
)
def test_repositories_are_queried_again(index: Index | None, ready_s: float, after_s: float) -> None:
    assert world("*", index, ready_s=ready_s).verdict().requeue_after_s == after_s
