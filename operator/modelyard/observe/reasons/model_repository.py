"""Whether a ready pod has its models loaded, which readiness leaves open (integrations/engines/triton.py)."""

from datetime import datetime

from modelyard.contract import names
from modelyard.integrations.signals.repository_index import READY, IndexedModel
from modelyard.observe.facts.pods import PodFacts

ASK_S = 10.0
"""How long after its readiness a pod's index is waited for. Where it cannot be read, readiness counts."""

SHOWN = 3
"""Models that a message names."""


def unready_models(pod: PodFacts) -> str:
    """Which models of ``pod`` are not ready, and why; empty when all are, and when nothing is known."""
    if pod.models is None or pod.index is None:
        return ""
    if not pod.index and names.MODELS_ALL in pod.models:
        return "the repository is empty"
    known: dict[str, IndexedModel] = {}
    for model in pod.index:
        # Of a model's versions one that is ready is enough.
        if model.name not in known or model.state == READY:
            known[model.name] = model
    wanted = known if names.MODELS_ALL in pod.models else pod.models
    unready = [_described(name, known.get(name)) for name in wanted if name not in known or known[name].state != READY]
    more = f", and {len(unready) - SHOWN} more" if len(unready) > SHOWN else ""
    return ", ".join(unready[:SHOWN]) + more


def is_awaited(pod: PodFacts, now: datetime) -> bool:
    """Whether ``pod`` came up just now, and its index is still to be read."""
    if pod.models is None or pod.index is not None or not (pod.ready and pod.ready_changed):
        return False
    return (now - pod.ready_changed).total_seconds() < ASK_S


def _described(name: str, model: IndexedModel | None) -> str:
    if model is None:
        return f"{name} is not in the repository"
    state = model.state.lower() or "not loaded"
    return f"{name} is {state}" + (f" ({model.reason})" if model.reason else "")
