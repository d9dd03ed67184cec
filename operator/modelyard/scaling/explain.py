"""A decision in words: what it follows from, what limits it, and what is not known."""

from modelyard.api.scaling import Scaling
from modelyard.scaling import schedules
from modelyard.scaling.fleet import Fleet
from modelyard.scaling.meters import FIELDS
from modelyard.scaling.need import Need
from modelyard.scaling.proposal import Proposal

LENGTH_LIMIT = 2000
"""Characters of a message: it is a condition's, beside others in one status."""

IDLENESS_BY = "queueDepth"
"""The signal that shows whether an engine is idle, where its counters do not move at work."""


def message(scaling: Scaling, proposal: Proposal, fleet: Fleet, need: Need) -> str:
    """The change, why, and each limit that it met."""
    before, after = fleet.current, proposal.replicas
    change = f"Scaling from {before} to {after} replicas." if after != before else f"{_replicas(after)}."
    causes = [cause for cause in unknown_causes(scaling, fleet, need) if cause not in " ".join(proposal.sentences)]
    unknown = f"Unknown: {'; '.join(causes[:3])}." if causes else ""
    more = f"And {len(causes) - 3} more." if len(causes) > 3 else ""
    text = " ".join(part for part in (change, *proposal.sentences, unknown, more) if part)
    return text if len(text) <= LENGTH_LIMIT else f"{text[: LENGTH_LIMIT - 1]}…"


def unknown_causes(scaling: Scaling, fleet: Fleet, need: Need) -> tuple[str, ...]:
    """What could not be read, by pod, and what of the spec could not be understood."""
    return (*fleet.unknown, *_missing(scaling, fleet, need), *schedules.problems(scaling.schedules))


def _missing(scaling: Scaling, fleet: Fleet, need: Need) -> list[str]:
    """Signals that are not known, though replicas report, each with why."""
    signals = list(need.waits_for) if fleet.known else []
    if "demand" in need.inputs and fleet.uncounted:
        signals.append("demand")
    if scaling.min_replicas == 0 and fleet.unsure:
        signals.append(IDLENESS_BY)
    return [f"{signal}: {why(signal, fleet)}" for signal in dict.fromkeys(signals)]


def why(signal: str, fleet: Fleet) -> str:
    """Why a signal is not known, by the first replica that says so: with its URL, and the metric's name."""
    causes = (meter.sample.missing.get(field) for meter in fleet.known for field in FIELDS.get(signal, ()))
    return next((cause for cause in causes if cause), "no replica reports it")


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"
