"""How often a child that somebody keeps changing is set back: two that never give in must not wear out the cluster."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from modelyard.api.kinds import Kind
from modelyard.api.service import Key

WINDOW = timedelta(minutes=10)

UNHINDERED = 5
"""Repairs of one child within WINDOW that are made at once. People at work make fewer."""

PACE = timedelta(minutes=1)
"""Time from one repair to the next beyond that."""


@dataclass(frozen=True)
class History:
    """The latest repairs of one child, and the field that was set back last."""

    field: str = ""
    repaired_at: tuple[datetime, ...] = ()

    @property
    def is_contested(self) -> bool:
        repaired_at = self.repaired_at
        return len(repaired_at) == UNHINDERED and repaired_at[-1] - repaired_at[0] < WINDOW

    @property
    def contested_field(self) -> str:
        """Which field of the child somebody keeps changing; empty while it is not that often."""
        return self.field if self.is_contested else ""

    def wait(self, now: datetime) -> timedelta:
        """How long the child is left as somebody made it."""
        return max(timedelta(0), self.repaired_at[-1] + PACE - now) if self.is_contested else timedelta(0)

    def is_recent(self, now: datetime) -> bool:
        """Whether the child was set back within WINDOW."""
        return bool(self.repaired_at) and now - self.repaired_at[-1] < WINDOW

    def with_repair(self, field: str, now: datetime) -> "History":
        """The history once the field was set back."""
        return History(field, (*self.repaired_at, now)[-UNHINDERED:])


class Repairs:
    """Remembers what was set back of late, and nothing of children that were left in peace for WINDOW."""

    def __init__(self) -> None:
        self._histories: dict[tuple[Kind, Key], History] = {}

    def history(self, kind: Kind, place: Key, now: datetime) -> History:
        """The child's latest repairs, none once it was left in peace for WINDOW."""
        history = self._histories.get((kind, place))
        return history if history and history.is_recent(now) else History()

    def made(self, kind: Kind, place: Key, field: str, now: datetime) -> None:
        """The field was set back."""
        self._histories = {child: known for child, known in self._histories.items() if known.is_recent(now)}
        self._histories[kind, place] = self.history(kind, place, now).with_repair(field, now)

    def __len__(self) -> int:
        """Children that are remembered."""
        return len(self._histories)
