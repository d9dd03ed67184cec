"""What a service's conditions must say together of one thing that is under way, or wrong."""

from tests.support.observed import World, conditions


def check_under_way(world: World, reason: str, says: str) -> None:
    """It is not ready for this reason, and on its way."""
    found = conditions(world.verdict())
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", reason)
    assert says in found["Ready"]["message"]
    assert (found["Progressing"]["status"], found["Progressing"]["reason"]) == ("True", reason)
    assert found["Reconciling"]["status"] == "True"
    assert "Stalled" not in found


def check_problem(world: World, reason: str, says: str, remedy: str) -> None:
    """It is not ready for this reason, held up by it, and one event tells of it."""
    verdict = world.verdict()
    found = conditions(verdict)
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", reason)
    assert says in found["Ready"]["message"]
    assert remedy in found["Ready"]["message"]
    assert (found["Progressing"]["status"], found["Progressing"]["reason"]) == ("False", reason)
    assert found["Stalled"]["reason"] == reason
    assert "Reconciling" not in found
    assert verdict.status["reason"] == reason
    assert [(e.type, e.reason) for e in verdict.events] == [("Warning", reason)]
