"""Who holds a cluster's accelerators: workloads of all namespaces, by what their pods request."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.observe.facts.nodes import requested
from modelyard.observe.facts.raw_object import at, entry, text

_LISTED = 3


@dataclass(frozen=True)
class Holder:
    """A workload, by namespace and name. ``leaving`` of its ``count`` devices are held by pods that terminate."""

    name: str
    count: int
    leaving: int = 0


Holdings = Counter[tuple[str, str, bool]]
"""Amounts of extended resources, by resource, workload, and whether the pod terminates."""


def holdings(pods: Iterable[Object]) -> Holdings:
    """What workloads request of extended resources on nodes."""
    found: Holdings = Counter()
    for pod in pods:
        is_leaving = at(pod, "metadata", "deletionTimestamp") is not None
        for (_, resource), count in requested([pod]).items():
            found[resource, _workload(pod), is_leaving] += count
    return found


def holders(found: Mapping[tuple[str, str, bool], int], resource: str) -> tuple[Holder, ...]:
    """Who holds ``resource``, those with most of it first."""
    counts: Counter[str] = Counter()
    leaving: Counter[str] = Counter()
    for (of, workload, is_leaving), count in found.items():
        if of == resource and count:
            counts[workload] += count
            leaving[workload] += count * is_leaving
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return tuple(Holder(name, count, leaving[name]) for name, count in ordered)


def held_by(found: tuple[Holder, ...]) -> str:
    """The holders, as a sentence; empty without any."""
    if not found:
        return ""
    listed = ", ".join(f"{each.name} ({_words(each)})" for each in found[:_LISTED])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"Held by {listed}{more}."


def _words(holder: Holder) -> str:
    if not holder.leaving:
        return str(holder.count)
    part = "" if holder.leaving == holder.count else f"{holder.leaving} of them "
    return f"{holder.count}, {part}terminating"


def _workload(pod: Object) -> str:
    """The InferenceService, else what controls the pod: of a ReplicaSet the Deployment, whose name has a hash added."""
    owner = entry(pod, "metadata", "ownerReferences")
    name = text(pod, "metadata", "labels", names.LABEL_SERVICE) or text(owner, "name") or text(pod, "metadata", "name")
    if name == text(owner, "name") and text(owner, "kind") == "ReplicaSet":
        name = name.rpartition("-")[0] or name
    return f"{text(pod, 'metadata', 'namespace')}/{name}"
