"""How often a child that somebody keeps changing is set back: two that never give in must not wear out the cluster."""

from collections import deque
from datetime import datetime, timedelta

from modelyard.api.kinds import Kind
from modelyard.api.service import Key

WINDOW = timedelta(minutes=10)

UNHINDERED = 5
"""Repairs of one child within WINDOW that are made at once. People at work make fewer."""

PACE = timedelta(minutes=1)
"""Time from one repair to the next beyond that."""


class _History:
    """The latest repairs of one child, and the field that was set back last."""

    def __init__(self) -> None:
        self.field = ""
        self.repaired_at: deque[datetime] = deque(maxlen=UNHINDERED)

    @property
    def is_contested(self) -> bool:
        repaired_at = self.repaired_at
        return len(repaired_at) == UNHINDERED and repaired_at[-1] - repaired_at[0] < WINDOW

    def is_recent(self, now: datetime) -> bool:
        """Whether the child was set back within WINDOW."""
        return bool(self.repaired_at) and now - self.repaired_at[-1] < WINDOW


class Repairs:
    """Remembers what was set back of late, and nothing of children that were left in peace for WINDOW."""

    def __init__(self) -> None:
        self._histories: dict[tuple[Kind, Key], _History] = {}

    def contested_field(self, kind: Kind, place: Key, now: datetime) -> str:
        """Which field of the child somebody keeps changing; empty while it is not that often."""
        history = self._recent(kind, place, now)
        return history.field if history.is_contested else ""

    def wait(self, kind: Kind, place: Key, now: datetime) -> timedelta:
        """How long the child is left as somebody made it."""
        history = self._recent(kind, place, now)
        return max(timedelta(0), history.repaired_at[-1] + PACE - now) if history.is_contested else timedelta(0)

    def made(self, kind: Kind, place: Key, field: str, now: datetime) -> None:
        """The field was set back."""
        self._histories = {child: known for child, known in self._histories.items() if known.is_recent(now)}
        history = self._histories.setdefault((kind, place), _History())
        history.field = field
        history.repaired_at.append(now)

    def __len__(self) -> int:
        """Children that are remembered."""
        return len(self._histories)

    def _recent(self, kind: Kind, place: Key, now: datetime) -> _History:
        history = self._histories.get((kind, place))
        return history if history and history.is_recent(now) else _History()
