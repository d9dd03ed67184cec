"""How often changes of others to a child are reverted: two writers that never give in must not wear out the cluster."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from modelyard.api.kinds import Kind
from modelyard.api.service import Key

WINDOW = timedelta(minutes=10)

UNHINDERED = 5
"""Reverts of one child within WINDOW that are made at once. People at work make fewer."""

PACE = timedelta(minutes=1)
"""Time from one revert to the next beyond that."""


@dataclass(frozen=True)
class History:
    """The latest reverts of one child, and the field that was reverted last."""

    field: str = ""
    reverted_at: tuple[datetime, ...] = ()

    @property
    def is_contested(self) -> bool:
        reverted_at = self.reverted_at
        return len(reverted_at) == UNHINDERED and reverted_at[-1] - reverted_at[0] < WINDOW

    @property
    def contested_field(self) -> str:
        """The field that others keep changing; empty while they do not do that often."""
        return self.field if self.is_contested else ""

    def wait(self, now: datetime) -> timedelta:
        """How long the child is left as others made it."""
        return max(timedelta(0), self.reverted_at[-1] + PACE - now) if self.is_contested else timedelta(0)

    def is_recent(self, now: datetime) -> bool:
        """Whether the child was reverted within WINDOW."""
        return bool(self.reverted_at) and now - self.reverted_at[-1] < WINDOW

    def with_revert(self, field: str, now: datetime) -> "History":
        """The history once the field was reverted."""
        return History(field, (*self.reverted_at, now)[-UNHINDERED:])


class Reverts:
    """Remembers what was reverted within WINDOW, for all children."""

    def __init__(self) -> None:
        self._histories: dict[tuple[Kind, Key], History] = {}

    def history(self, kind: Kind, place: Key, now: datetime) -> History:
        """The child's latest reverts, none once it was left in peace for WINDOW."""
        history = self._histories.get((kind, place))
        return history if history and history.is_recent(now) else History()

    def note(self, kind: Kind, place: Key, field: str, now: datetime) -> None:
        """Remember that the field was reverted."""
        self._histories = {child: known for child, known in self._histories.items() if known.is_recent(now)}
        self._histories[kind, place] = self.history(kind, place, now).with_revert(field, now)

    def __len__(self) -> int:
        """Children that are remembered."""
        return len(self._histories)
