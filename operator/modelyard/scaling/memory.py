"""What a decision remembers of those before it: a value of bounded size, empty for a new service."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from modelyard.scaling import reasons
from modelyard.scaling.decision import Change
from modelyard.scaling.demand import Traffic
from modelyard.scaling.forecast import Forecasts
from modelyard.scaling.limits import Carried
from modelyard.scaling.meters import Meter
from modelyard.scaling.observation import Observation
from modelyard.scaling.speed import Speed
from modelyard.scaling.stabilization import Recommendation

CHANGES_KEPT = 120
CHANGES_KEPT_S = 3600.0
LEAST_KEPT = 10


@dataclass(frozen=True)
class Memory:
    """``changes`` are those that took effect, the oldest first. ``current`` is the number of replicas at the last
    decision, ``proposed`` the change that it decided on. ``started_s`` is the time of the first decision, ``active_s``
    of the last sign of a request, ``served_s`` when a replica was last ready. ``woken_s`` is the last wake that was
    taken account of. ``signals`` are the names of those that were ever known.
    """

    changes: tuple[Change, ...] = ()
    current: int | None = None
    proposed: Change | None = None
    started_s: float | None = None
    active_s: float | None = None
    served_s: float | None = None
    woken_s: float | None = None
    signals: frozenset[str] = frozenset()
    meters: Mapping[str, Meter] = field(default_factory=dict)
    recommendations: tuple[Recommendation, ...] = ()
    speed: Speed = field(default_factory=Speed)
    carried: Carried = field(default_factory=Carried)
    traffic: Traffic = field(default_factory=Traffic)
    forecasts: Forecasts = field(default_factory=Forecasts)

    @classmethod
    def restored(
        cls, changes: Iterable[Change], current: int | None = None, proposed: Change | None = None
    ) -> "Memory":
        """After a restart of the operator: from the ``changes`` in a service's status, in any order, the number of
        replicas ``current`` that it had when they were written, and the change that was ``proposed`` and written, but
        did not get into the status.
        """
        ordered = tuple(sorted(changes, key=lambda change: change.time_s))[-CHANGES_KEPT:]
        if current is None and ordered:
            current = ordered[-1].after
        return cls(changes=ordered, current=current, proposed=proposed)

    @property
    def last_change(self) -> Change | None:
        return self.changes[-1] if self.changes else None

    def seen(self, observation: Observation) -> "Memory":
        """With the change that took effect since the last decision, whoever made it.

        What others add counts as needed at that time: it stays for the window of scaling down.
        """
        now_s = observation.now_s
        started_s = now_s if self.started_s is None else self.started_s
        before, after = self.current, observation.current
        if before is None or before == after:
            return replace(self, current=after, started_s=started_s)
        change = self.proposed
        if change is None or change.after != after:
            change = Change(now_s, before, after, reasons.BY_OTHERS)
        kept = tuple(old for old in self.changes if old.time_s > now_s - CHANGES_KEPT_S)
        changes = (*(kept if len(kept) >= LEAST_KEPT else self.changes[-LEAST_KEPT:]), change)[-CHANGES_KEPT:]
        recommendations = self.recommendations
        if change.reason == reasons.BY_OTHERS and after > before:
            recommendations = (*recommendations, Recommendation(now_s, after, after))
        return replace(
            self,
            current=after,
            started_s=started_s,
            changes=changes,
            proposed=None,
            recommendations=recommendations,
        )
