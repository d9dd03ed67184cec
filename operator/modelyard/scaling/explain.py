"""A decision in words: what it follows from, what limits it, and what is not known."""

from modelyard.api.scaling import Scaling
from modelyard.scaling import schedules
from modelyard.scaling.fleet import Fleet
from modelyard.scaling.need import Need
from modelyard.scaling.proposal import Proposal

LENGTH_LIMIT = 2000

FIELDS = {
    "queueDepth": ("waiting",),
    "kvCacheUsage": ("kv_usage",),
    "runningRequests": ("running",),
    "demand": ("generation_tokens_total", "prompt_tokens_total", "finished_total"),
}
"""The fields of a sample that a signal is made of."""


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
    missing = []
    if fleet.known:
        missing = [f"{signal}: {_why(signal, fleet)}" for signal in need.waits_for]
    return (*fleet.unknown, *missing, *schedules.problems(scaling.schedules))


def _why(signal: str, fleet: Fleet) -> str:
    """Why a signal is not known, by the first replica that says so: with its URL, and the metric's name."""
    causes = (meter.sample.missing.get(field) for field in FIELDS.get(signal, ()) for meter in fleet.known)
    return next((cause for cause in causes if cause), "no replica reports it")


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"
