"""Nodes as facts, and which of them a pod may not use: the part of the scheduler's answer that its message leaves out.

The message counts nodes per cause but names no taint since Kubernetes 1.34 and never a label. Judged here are the node
being cordoned or not ready, its taints, and the pod's nodeSelector and required node affinity, by the rules of
Kubernetes' pages "Taints and Tolerations" and "Assigning Pods to Nodes". What else can exclude a node (other pods,
volumes) is left to the message.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.api.service import Object
from modelyard.observe.facts.raw_object import amount, at, entries, entry, text, texts

Requested = Counter[tuple[str, str]]
"""Amounts of extended resources, by node name and resource."""

_NAMES_LISTED = 3
_CAUSES_LISTED = 4


@dataclass(frozen=True)
class NodeFacts:
    """A node. ``offered`` accelerators of the requested kind are allocatable, ``present`` counts the unhealthy too;
    ``taken`` is what all pods on it request (None: not known).
    """

    name: str
    ready: bool
    why_unready: str
    cordoned: bool
    offered: int
    present: int
    taken: int | None
    taints: tuple[Object, ...]
    labels: Mapping[str, str]

    @property
    def free(self) -> int | None:
        """Accelerators that no pod requests; None while that is unknown."""
        return None if self.taken is None else max(0, self.offered - self.taken)


@dataclass(frozen=True)
class Placement:
    """Which nodes a pod accepts. ``terms``: it takes a node that meets every requirement of one of them; any, if empty.

    A nodeSelector is one requirement each, in every term.
    """

    tolerations: tuple[Object, ...] = ()
    terms: tuple[tuple[Object, ...], ...] = ()


def node_facts(node: Object, resource: str | None, taken: Requested | None) -> NodeFacts:
    """The facts of ``node``, a Node. ``taken`` is what all pods request."""
    name = text(node, "metadata", "name")
    ready = entry(node, "status", "conditions", type="Ready")
    offered = amount(node, "status", "allocatable", resource or "") or 0
    return NodeFacts(
        name=name,
        ready=ready.get("status") == "True",
        why_unready=text(ready, "message") or text(ready, "reason") or "the node reports no Ready condition",
        cordoned=at(node, "spec", "unschedulable") is True,
        offered=offered,
        present=max(offered, amount(node, "status", "capacity", resource or "") or 0),
        taken=None if taken is None else taken[name, resource or ""],
        taints=tuple(entries(node, "spec", "taints")),
        labels=texts(node, "metadata", "labels"),
    )


def placement(pod: Any) -> Placement:
    """Which nodes ``pod``, a Pod, accepts. Never raises."""
    selector = tuple(
        {"key": key, "operator": "In", "values": [value]} for key, value in texts(pod, "spec", "nodeSelector").items()
    )
    required = ("spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = tuple(
        (*selector, *entries(term, "matchExpressions")) for term in entries(pod, *required, "nodeSelectorTerms")
    )
    return Placement(tuple(entries(pod, "spec", "tolerations")), terms or ((selector,) if selector else ()))


def offer(resource: str, nodes: Iterable[NodeFacts]) -> str:
    """What the ``nodes`` have of ``resource``, as sentences."""
    having = [node for node in nodes if node.present > 0]
    if not having:
        return f"No node offers {resource}: check that the device plugin and the driver are running."
    offered = [node.offered for node in having]
    there = f"{_count(having)} offer{'s' * (len(having) == 1)} {sum(offered)} (at most {max(offered)} on one)"
    free = [node.free for node in having if node.free is not None]
    if free:
        there += f", of which {sum(free)} {'is' if sum(free) == 1 else 'are'} free (at most {max(free)} on one)"
    unhealthy = [f"{node.present - node.offered} on {node.name}" for node in having if node.present > node.offered]
    return f"{there}. Unhealthy: {', '.join(unhealthy[:_NAMES_LISTED])}." if unhealthy else f"{there}."


def exclusions(pod: Placement, nodes: Iterable[NodeFacts]) -> str:
    """Which of the ``nodes`` the pod may not use and why, as a sentence; empty when it may use each."""
    groups: dict[str, list[NodeFacts]] = {}
    for node in nodes:
        if why := excluded(pod, node):
            groups.setdefault(why, []).append(node)
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    listed = [f"{_count(those)} ({_names(those)}): {why}" for why, those in largest[:_CAUSES_LISTED]]
    if rest := sum(len(those) for _, those in largest[_CAUSES_LISTED:]):
        listed.append(f"{rest} more for other reasons")
    return f"Excluded: {'; '.join(listed)}." if listed else ""


def excluded(pod: Placement, node: NodeFacts) -> str:
    """Why the pod may not use ``node``; empty when it may."""
    if node.cordoned:
        return "cordoned"
    if not node.ready:
        return "not ready"
    taint = next((t for t in node.taints if _keeps_off(t) and not _tolerated(t, pod.tolerations)), None)
    if taint is not None:
        value = f"={text(taint, 'value')}" if text(taint, "value") else ""
        return f"untolerated taint {text(taint, 'key')}{value}:{text(taint, 'effect')}"
    unmet = [[rule for rule in term if not _met(rule, node.labels)] for term in pod.terms]
    if not unmet or not all(unmet):
        return ""
    return f"label {_wish(unmet[0][0])}, but {_carried(unmet[0][0], node.labels)}"


def _keeps_off(taint: Object) -> bool:
    return text(taint, "effect") in {"NoSchedule", "NoExecute"}


def _tolerated(taint: Object, tolerations: Iterable[Object]) -> bool:
    return any(
        text(wish, "effect") in {"", text(taint, "effect")}
        and (text(wish, "key") == text(taint, "key") or (not text(wish, "key") and wish.get("operator") == "Exists"))
        and (wish.get("operator", "Equal") != "Equal" or text(wish, "value") == text(taint, "value"))
        for wish in tolerations
    )


def _met(rule: Object, labels: Mapping[str, str]) -> bool:
    """Whether labels meet a requirement; one of an operator that we don't know counts as met: nothing is claimed."""
    found, values = labels.get(text(rule, "key")), rule.get("values")
    values = values if isinstance(values, list) else []
    match rule.get("operator"):
        case "In":
            return found in values
        case "NotIn":
            return found is None or found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt" | "Lt":
            return _compared(found, values, greater=rule["operator"] == "Gt")
    return True


def _compared(found: str | None, values: list[Any], *, greater: bool) -> bool:
    try:
        difference = int(found or "") - int(values[0])
    except (ValueError, TypeError, IndexError):
        return False
    return difference > 0 if greater else difference < 0


def _wish(rule: Object) -> str:
    values = rule.get("values")
    listed = " or ".join(map(str, values[:_NAMES_LISTED])) if isinstance(values, list) else ""
    words = {
        "In": f"must be {listed}",
        "NotIn": f"must not be {listed}",
        "Exists": "must exist",
        "DoesNotExist": "must not exist",
        "Gt": f"must be greater than {listed}",
        "Lt": f"must be less than {listed}",
    }
    return f"{text(rule, 'key')} {words.get(text(rule, 'operator'), 'must match')}"


def _carried(rule: Object, labels: Mapping[str, str]) -> str:
    found = labels.get(text(rule, "key"))
    return "is missing" if found is None else f"is {found}"


def _count(nodes: list[NodeFacts]) -> str:
    return f"{len(nodes)} node{'s' * (len(nodes) != 1)}"


def _names(nodes: list[NodeFacts]) -> str:
    names = sorted(node.name for node in nodes)
    return ", ".join(names[:_NAMES_LISTED]) + (", ..." if len(names) > _NAMES_LISTED else "")


def requested(pods: Iterable[Object]) -> Requested:
    """What ``pods`` request of extended resources, by node and resource; pods without a node count nowhere.

    As the scheduler counts it: all containers together, or the largest init container if that is more; one that keeps
    running (a sidecar) counts with the containers (Kubernetes' page "Sidecar Containers").
    """
    taken: Requested = Counter()
    for pod in pods:
        if node := text(pod, "spec", "nodeName"):
            taken.update({(node, resource): count for resource, count in _requests(pod).items()})
    return taken


def _requests(pod: Object) -> Counter[str]:
    together: Counter[str] = Counter()
    largest: Counter[str] = Counter()
    for container in entries(pod, "spec", "containers"):
        together.update(_extended(container))
    for container in entries(pod, "spec", "initContainers"):
        if container.get("restartPolicy") == "Always":
            together.update(_extended(container))
        else:
            largest |= _extended(container)
    return together | largest


def _extended(container: Object) -> Counter[str]:
    requests = at(container, "resources", "requests")
    names = [name for name in requests if isinstance(name, str) and "/" in name] if isinstance(requests, dict) else []
    return Counter({name: amount(requests, name) or 0 for name in names})
