"""What the signals ask for: a number of replicas, before windows, rates and bounds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modelyard.scaling.decision import Input


def _always(_: int) -> bool:
    return True


@dataclass(frozen=True)
class Need:
    """``up`` replicas are needed, ``down`` are enough; between them nothing changes. Both are None while nothing is
    known. ``text`` says what that follows from. ``bears`` is whether so many replicas, fewer than now, would bear the
    load without asking for more. ``waits_for`` names signals that are not known: they may hide load. ``held`` is what
    counts as enough at this time for the window of scaling down: ``down`` where it is None.
    """

    up: int | None
    down: int | None
    text: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    bears: Callable[[int], bool] = _always
    waits_for: tuple[str, ...] = ()
    held: int | None = None
