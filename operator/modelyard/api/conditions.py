"""The conditions of an InferenceService: their types, and how one is written. Their reasons are in reasons.py.

READY is true when at least one replica is ready, also one of the previous configuration while a rollout
runs. AVAILABLE is true when all desired replicas are ready. PROGRESSING is true while pods are being brought to the
spec; when it is false, its reason is Complete or what blocks it. RECONCILING and STALLED are kstatus's names for
the two, present only when true: at most one of them. UPDATE_AVAILABLE is no problem when true: it lists
what a refresh would change. SCALING_ACTIVE is there with automatic scaling, and where another autoscaler interferes.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from modelyard.api.service import Object
from modelyard.contract.untrusted import bounded

MESSAGE_LENGTH = 2048
"""Longest message we write, in characters. The API server allows 32768; a person reads fewer."""

_CAUSE_LENGTH = 700
_CAMEL_CASE = re.compile(r"[A-Z][A-Za-z0-9]{1,63}")


class ConditionType(StrEnum):
    """Types in the order in which they are listed."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    MODEL_CACHED = "ModelCached"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    UPDATE_AVAILABLE = "UpdateAvailable"
    SCALING_ACTIVE = "ScalingActive"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class Kind(StrEnum):
    """Whether a reason is good, in progress, or a problem."""

    GOOD = "Good"
    UNDER_WAY = "UnderWay"
    PROBLEM = "Problem"


@dataclass(frozen=True)
class Explanation:
    """A reason with its message, as in a condition."""

    reason: str
    message: str
    kind: Kind

    @property
    def is_problem(self) -> bool:
        """A user has to act."""
        return self.kind is Kind.PROBLEM


@dataclass(frozen=True)
class Reason:
    """One row of the table. ``text`` and ``remedy`` are templates over named facts; no remedy: nothing to do."""

    name: str
    kind: Kind
    text: str
    remedy: str = ""

    def explain(self, **facts: object) -> Explanation:
        """The explanation with ``facts`` filled in. Raises KeyError when the template needs one that is missing."""
        text = self.text.format(**facts)
        remedy = self.remedy.format(**facts)
        return Explanation(self.name, bounded(f"{text} {remedy}" if remedy else text, MESSAGE_LENGTH), self.kind)


def sentence(text: str) -> str:
    """A foreign ``text`` as a template's ``{cause}``: short, and without the full stop that the template adds."""
    return bounded(text, _CAUSE_LENGTH).rstrip(". ") or "no cause was given"


def amount(size_bytes: int) -> str:
    """A size for people: 23.9 kB, 270 MB, 26 GB."""
    size, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if size >= 99.95 else f"{size:.3g} {unit}"


def explanation_of(reason: str, message: str, kind: Kind = Kind.PROBLEM) -> Explanation:
    """An explanation whose message is written elsewhere. Raises ValueError for a ``reason`` that is not CamelCase."""
    if not _CAMEL_CASE.fullmatch(reason):
        raise ValueError(f"{reason!r} is not a CamelCase reason")
    return Explanation(reason, bounded(message, MESSAGE_LENGTH), kind)


def timestamp(moment: datetime) -> str:
    """``moment`` as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(
    type_: ConditionType, status: str, why: Explanation, *, stored: list[Object], generation: int, now: datetime
) -> Object:
    """A metav1.Condition. Its transition time is that of ``stored``'s condition of this type while the status stays."""
    before: Object = next((c for c in stored if c.get("type") == type_), {})
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    since = since if isinstance(since, str) else None
    return {
        "type": str(type_),
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": since or timestamp(now),
        "reason": why.reason,
        "message": why.message,
    }
