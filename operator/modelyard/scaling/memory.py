"""What a decision remembers of those before it: a value of bounded size, empty for a new service."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

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
"""As many as a status has: where it has fewer, none is missing."""

TIMES_FLOORED_S = 0.999
"""A status has whole seconds: a change may be so much later."""

TOLERATED_S = 5.0
"""Times may be so much ahead of the clock."""


@dataclass(frozen=True)
class Memory:
    """``changes`` are those that took effect, the oldest first; some before ``complete_since_s`` may be missing.
    ``current`` is the number of replicas at the last decision, ``proposed`` the change that it decided on.
    ``started_s`` is the time of the first decision, ``active_s`` of the last sign of a request, ``served_s`` when a
    replica was last ready. ``woken_s`` is the last wake that was taken account of.
    """

    changes: tuple[Change, ...] = ()
    complete_since_s: float = -inf
    current: int | None = None
    proposed: Change | None = None
    started_s: float | None = None
    active_s: float | None = None
    served_s: float | None = None
    woken_s: float | None = None
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
        times = [replace(change, time_s=change.time_s + TIMES_FLOORED_S) for change in changes]
        ordered = tuple(sorted(times, key=lambda change: change.time_s))[-CHANGES_KEPT:]
        if current is None and ordered:
            current = ordered[-1].after
        complete_since_s = ordered[0].time_s if len(ordered) >= LEAST_KEPT else -inf
        return cls(changes=ordered, current=current, proposed=proposed, complete_since_s=complete_since_s)

    @property
    def last_change(self) -> Change | None:
        return self.changes[-1] if self.changes else None

    @property
    def _latest_s(self) -> float:
        """The latest time that anything is remembered of."""
        single = (self.started_s, self.active_s, self.served_s, self.forecasts.judged_s)
        times = [time_s for time_s in single if time_s is not None]
        times += [change.time_s for change in (*self.changes[-1:], self.proposed) if change is not None]
        times += [each.time_s for each in self.recommendations[-1:]]
        times += [each.time_s for each in self.traffic.points[-1:]]
        return max(times, default=-inf)

    def unlearnt(self, meters: Mapping[str, Meter]) -> "Memory":
        """Without what was learnt of the engine and its traffic."""
        fresh = Memory()
        return replace(
            self,
            meters=meters,
            speed=fresh.speed,
            carried=fresh.carried,
            traffic=fresh.traffic,
            forecasts=fresh.forecasts,
        )

    def _set_back(self, now_s: float) -> "Memory":
        """After the clock was set back: what seems to be of the future is dropped; changes count as of now, so that
        rates hold.
        """

        def until_now(time_s: float | None) -> float | None:
            return None if time_s is None else min(time_s, now_s)

        return replace(
            self,
            changes=tuple(replace(change, time_s=min(change.time_s, now_s)) for change in self.changes),
            complete_since_s=min(self.complete_since_s, now_s),
            proposed=None,
            started_s=until_now(self.started_s),
            active_s=until_now(self.active_s),
            served_s=until_now(self.served_s),
            recommendations=tuple(each for each in self.recommendations if each.time_s <= now_s),
            traffic=replace(self.traffic, points=tuple(each for each in self.traffic.points if each.time_s <= now_s)),
            forecasts=replace(self.forecasts, pending=(), judged_s=until_now(self.forecasts.judged_s)),
        )

    def seen(self, observation: Observation) -> "Memory":
        """With the change that took effect since the last decision, whoever made it.

        What others add counts as needed at that time: it stays for the window of scaling down.
        """
        now_s = observation.now_s
        if self._latest_s > now_s + TOLERATED_S:
            return self._set_back(now_s).seen(observation)
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
