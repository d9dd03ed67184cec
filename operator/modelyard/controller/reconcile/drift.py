"""Whether an object still is as it was rendered: pure.

What we don't render is left alone, so only rendered fields are compared. The API server stores some of them in another
form than they were sent in: it fills in defaults, drops what is empty and rewrites quantities. None of that is drift.
"""

import operator
from collections.abc import Mapping
from typing import Any

from modelyard.api.service import Object
from modelyard.contract import names, quantity
from modelyard.desired.differences import ABSENT, Difference, differences

WHOLE = frozenset({"selector", "podSelector", "ingress"})
"""Fields that are one value to Kubernetes, with all that is in them: a label added to a selector leaves it no pods, one
removed from a peer lets others in."""

CHOICES = frozenset({"emptyDir"})
"""Fields that have a meaning even when empty: they decide which kind a volume is."""

QUANTITIES = frozenset({"requests", "limits", "sizeLimit", "divisor", "overhead"})
"""Fields that hold quantities, or maps of them."""

ZERO_IS_UNSET = frozenset(
    {
        "hostNetwork", "hostPID", "hostIPC", "hostPort", "readOnly", "stdin", "stdinOnce", "tty",
        "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold",
    }
)  # fmt: skip
"""Fields of a pod template whose false or 0 the API server reads as unset: it drops them, or puts its own default in
their place (no pointer in Kubernetes' Go types). Only a user's podTemplate has such a value."""


def is_as_rendered(rendered: Object, existing: Object) -> bool:
    """Whether applying ``rendered`` would change nothing on ``existing``.

    The hash shows a field that is no longer rendered but still there; the comparison shows all other differences.
    """
    return _hash(rendered) == _hash(existing) and differing_field(rendered, existing) is None


def edited_field(rendered: Object, existing: Object) -> str | None:
    """Path of the first field that another writer changed since exactly ``rendered`` was applied; None without one."""
    return differing_field(rendered, existing) if _hash(rendered) == _hash(existing) else None


def differing_field(rendered: Object, existing: Object) -> str | None:
    """Path of the first rendered field that ``existing`` has otherwise, such as ``spec.replicas``; None without one."""
    found = (each.path for each in differences(rendered, existing, whole=COMPARED_WHOLE) if _is_drift(each))
    return next(found, None)


def _hash(body: Object) -> str | None:
    return (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_RENDERED)


def _is_drift(difference: Difference) -> bool:
    """Whether a rendered field differs, and not only the form in which the API server stores it."""
    _, rendered, existing = difference
    if rendered is ABSENT:
        return False
    is_unset = existing is ABSENT or existing is None or difference.field in ZERO_IS_UNSET
    return not (is_unset and _is_a_default(difference.field, rendered))


def _is_a_default(field: str, value: Any) -> bool:
    """Whether the API server may drop ``value``. It keeps false and 0 where they mean another thing than no value."""
    if field in ZERO_IS_UNSET:
        return not value
    return field not in CHOICES and (value is None or value in ("", {}, []))


def _amounts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _amounts(amount) for name, amount in value.items()}
    try:
        return quantity.parse(value)
    except ValueError:
        return value


def _same_amounts(one: Any, other: Any) -> bool:
    return bool(_amounts(one) == _amounts(other))


COMPARED_WHOLE = {**dict.fromkeys(WHOLE, operator.eq), **dict.fromkeys(QUANTITIES, _same_amounts)}
"""How fields that are one value are compared."""
