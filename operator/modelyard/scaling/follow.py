"""From what the signals ask for to a change: windows, unready replicas, rates, and what the cluster refuses."""

from modelyard.api.scaling import Scaling
from modelyard.scaling import reasons, stabilization
from modelyard.scaling.explain import why
from modelyard.scaling.fleet import Fleet
from modelyard.scaling.need import Need
from modelyard.scaling.observation import Capacity, Replica
from modelyard.scaling.past import Past
from modelyard.scaling.proposal import Proposal

UNREADY_HOLDS_S = 1800.0
"""A replica that is unready for longer is broken, not overloaded: scaling down no longer waits for it."""

REPLACED_SHARE = 0.5
"""Unready replicas are replaced up to this share of what is needed: replacements may fail as they did."""


def follow(scaling: Scaling, need: Need, fleet: Fleet, capacity: Capacity | None, past: Past) -> Proposal:
    """The change that the signals lead to, or what holds it."""
    if need.up is None or need.down is None:
        return _unknown(need, fleet)
    current, now_s = fleet.current, fleet.now_s
    text = (need.text,)
    up = need.up + replaced(fleet, need.up)
    window_s = stabilization.up_window_s(scaling.scale_up)
    needed = stabilization.lowest_up(past.recommendations, up, now_s, window_s)
    if needed > current:
        return _up(scaling, Proposal(needed, reasons.SCALING_UP, text), fleet, capacity, past)
    if up > current:
        sentence = (
            f"{up} replicas are needed; within the last {window_s} s, {max(needed, 0)} were enough "
            "(scaleUp.stabilizationWindowSeconds)."
        )
        return Proposal(current, reasons.UP_STABILIZING, (*text, sentence))
    if need.down + replaced(fleet, need.up) < current:
        return _down(scaling, need, fleet, past)
    return _steady(need, fleet)


def _steady(need: Need, fleet: Fleet) -> Proposal:
    """What runs is what is needed."""
    assert need.up is not None
    current, text = fleet.current, (need.text,)
    if fleet.on_the_way:
        sentence = f"{fleet.on_the_way} of {current} replicas are starting."
        return Proposal(current, reasons.STARTING, (*text, sentence))
    left = len(fleet.broken) - replaced(fleet, need.up)
    if left > 0:
        sentence = f"{len(fleet.broken)} replicas are not ready, {left} of them without another in their place."
        return Proposal(current, reasons.UNREADY, (*text, sentence))
    return Proposal(current, reasons.STEADY, text)


def replaced(fleet: Fleet, needed: int) -> int:
    """How many replicas run in place of broken ones, beside the ``needed`` ones.

    One that never served and is broken for long is replaced no more, and then goes: what it fails of would stop its
    replacements, too.
    """
    lasting = [
        each for each in fleet.broken if each.name in fleet.meters or fleet.now_s - each.since_s < UNREADY_HOLDS_S
    ]
    return min(len(lasting), max(int(needed * REPLACED_SHARE), 1))


def _unknown(need: Need, fleet: Fleet) -> Proposal:
    current = fleet.current
    if need.text:
        return Proposal(current, reasons.METRICS_UNAVAILABLE, (f"{need.text} {current} replicas stay.",))
    if fleet.unknown and not fleet.known:
        causes = "; ".join(fleet.unknown[:3])
        sentence = f"No replica's metrics are known, so {current} replicas stay: {causes}."
        return Proposal(current, reasons.METRICS_UNAVAILABLE, (sentence,))
    if fleet.known and need.waits_for:
        causes = "; ".join(f"{signal}: {why(signal, fleet)}" for signal in need.waits_for)
        sentence = f"What the replicas report shows no demand, so {current} replicas stay: {causes}."
        return Proposal(current, reasons.METRICS_UNAVAILABLE, (sentence,))
    if fleet.known:
        sentence = f"Rates need two readings of the metrics; {current} replicas stay until then."
        return Proposal(current, reasons.MEASURING, (sentence,))
    if fleet.unready and not fleet.on_the_way:
        return Proposal(current, reasons.UNREADY, (f"No replica is ready, so {current} replicas stay.",))
    return Proposal(current, reasons.STARTING, (f"No replica is ready yet; {fleet.on_the_way} are starting.",))


def _up(scaling: Scaling, proposal: Proposal, fleet: Fleet, capacity: Capacity | None, past: Past) -> Proposal:
    current = fleet.current
    allowed = past.most(scaling.scale_up, fleet)
    if proposal.replicas > allowed:
        sentence = f"{proposal.replicas} replicas are needed; scaleUp allows {allowed} now."
        proposal = proposal.limited(allowed, reasons.UP_LIMITED, sentence)
    if capacity is not None and proposal.replicas > max(capacity.achievable, current):
        fits = max(capacity.achievable, current)
        sentence = f"{proposal.replicas} replicas are needed; {capacity.achievable} can run: {capacity.message}"
        proposal = proposal.limited(fits, capacity.reason, sentence)
    return proposal


def _down(scaling: Scaling, need: Need, fleet: Fleet, past: Past) -> Proposal:
    current, now_s = fleet.current, fleet.now_s
    assert need.up is not None
    assert need.down is not None
    enough = need.down + replaced(fleet, need.up)
    window_s = stabilization.down_window_s(scaling.scale_down)
    holding = _holding(fleet)
    if not holding and scaling.scale_down.select_policy != "Disabled":
        cancelled = _cancelled(need, fleet, enough, past, window_s)
        if cancelled is not None:
            return cancelled
    proposal = Proposal(enough, reasons.SCALING_DOWN, (need.text,))
    if need.waits_for:
        signals = ", ".join(need.waits_for)
        sentence = f"{enough} replicas would be enough, but {signals} is unknown and may hide load."
        return proposal.limited(current, reasons.PARTLY_UNKNOWN, sentence)
    if holding:
        names = ", ".join(replica.name for replica in holding[:3])
        sentence = f"{enough} replicas would be enough, but {names} is not ready and may be overloaded."
        return proposal.limited(current, reasons.UNREADY, sentence)
    highest = min(stabilization.highest_down(past.recommendations, enough, now_s, window_s), current)
    if highest > enough:
        sentence = (
            f"{enough} replicas would be enough; within the last {window_s} s, {highest} were needed "
            "(scaleDown.stabilizationWindowSeconds)."
        )
        proposal = proposal.limited(highest, reasons.DOWN_STABILIZING, sentence)
    return _borne(need, fleet, _slowed(scaling, proposal, fleet, past))


def _cancelled(need: Need, fleet: Fleet, enough: int, past: Past, window_s: int) -> Proposal | None:
    """Replicas that no node has taken carry nothing: those that are no longer needed go at once.

    Those that someone else added a moment ago stay for the window, as all replicas do.
    """
    after = max(enough, fleet.current - len(fleet.pending))
    added = any(
        change.reason == reasons.BY_OTHERS and change.after > change.before and change.time_s > fleet.now_s - window_s
        for change in past.changes
    )
    if after >= fleet.current or need.waits_for or added:
        return None
    sentence = f"{fleet.current - after} replicas that have no node yet are no longer needed."
    return Proposal(after, reasons.CANCELLED, (need.text, sentence))


def _holding(fleet: Fleet) -> tuple[Replica, ...]:
    """A ReplicaSet deletes unready pods first, and one that is too busy to answer its probe is unready."""
    return tuple(replica for replica in fleet.unready if fleet.now_s - replica.since_s < UNREADY_HOLDS_S)


def _slowed(scaling: Scaling, proposal: Proposal, fleet: Fleet, past: Past) -> Proposal:
    if proposal.replicas >= fleet.current:
        return proposal
    allowed = past.least(scaling.scale_down, fleet)
    if proposal.replicas >= allowed:
        return proposal
    sentence = f"{proposal.replicas} replicas are enough; scaleDown allows {allowed} now."
    return proposal.limited(allowed, reasons.DOWN_LIMITED, sentence)


def _borne(need: Need, fleet: Fleet, proposal: Proposal) -> Proposal:
    """Only as far down as the replicas that are left bear the load without asking for more."""
    if proposal.replicas >= fleet.current:
        return proposal
    numbers = range(proposal.replicas, fleet.current)
    after = next((n for n in numbers if _left(fleet, n) == fleet.healthy or need.bears(_left(fleet, n))), fleet.current)
    if after == proposal.replicas:
        return proposal
    sentence = f"With {proposal.replicas}, the load of each would soon ask for more."
    return proposal.limited(after, reasons.STEADY, sentence)


def _left(fleet: Fleet, replicas: int) -> int:
    """How many healthy ones are left with so many: a ReplicaSet deletes those on the way first, then unready ones."""
    removed = fleet.current - replicas
    early = min(removed, fleet.on_the_way)
    return fleet.healthy - early - max(removed - early - len(fleet.broken), 0)
