"""Whether an object still is as it was rendered: pure.

What we don't render is left alone, so only rendered fields are compared. The API server stores some of them in another
form than they were sent in: it fills in defaults, drops what is empty and rewrites quantities. None of that is drift.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.api.service import Object
from modelyard.contract import names, quantity
from modelyard.desired.strategic_merge import MERGE_KEYS, identity, written

WHOLE = frozenset({"selector", "podSelector", "ingress"})
"""Fields that are one value to Kubernetes, with all that is in them: a label that somebody adds to a selector leaves it
no pods, one that somebody takes from a peer lets others in."""

CHOICES = frozenset({"emptyDir"})
"""Fields that say something even when empty: which one of several kinds a volume is."""

QUANTITIES = frozenset({"requests", "limits", "sizeLimit", "divisor", "overhead"})
"""Fields that hold quantities, or maps of them."""

ZERO_IS_UNSET = frozenset(
    {
        "hostNetwork", "hostPID", "hostIPC", "hostPort", "readOnly", "stdin", "stdinOnce", "tty",
        "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold",
    }
)  # fmt: skip
"""Fields of a pod template whose false or 0 the API server reads as nothing said: it drops them, or puts its own
default in their place (no pointer in Kubernetes' Go types). Only a user's podTemplate has such a value."""


def is_as_rendered(rendered: Object, existing: Object) -> bool:
    """Whether applying ``rendered`` would change nothing on ``existing``.

    The hash tells that a field which is no longer rendered is still there; the comparison tells all else.
    """
    return _hash(rendered) == _hash(existing) and differing_field(rendered, existing) is None


def edited_field(rendered: Object, existing: Object) -> str | None:
    """Path of the first field that somebody else changed since exactly ``rendered`` was applied; None without one."""
    return differing_field(rendered, existing) if _hash(rendered) == _hash(existing) else None


def differing_field(rendered: Object, existing: Object) -> str | None:
    """Path of the first rendered field that ``existing`` has otherwise, such as ``spec.replicas``; None without one."""
    return _differing(rendered, existing, "")


def _hash(body: Object) -> str | None:
    return (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_RENDERED)


def _differing(rendered: Any, existing: Any, path: str) -> str | None:
    field = path.rsplit(".", 1)[-1]
    if _says_nothing(field, rendered) and (existing is None or field in ZERO_IS_UNSET):
        return None
    if field in WHOLE:
        return None if rendered == existing else path
    if field in QUANTITIES:
        return None if _amounts(rendered) == _amounts(existing) else path
    if isinstance(rendered, Mapping) and isinstance(existing, Mapping):
        return _first(
            _differing(value, existing.get(key), f"{path}.{key}" if path else key) for key, value in rendered.items()
        )
    if isinstance(rendered, list | tuple) and isinstance(existing, list):
        return _differing_list(rendered, existing, path, MERGE_KEYS.get(field, ()))
    return None if rendered == existing else path


def _differing_list(rendered: Sequence[Any], existing: Sequence[Any], path: str, keys: tuple[str, ...]) -> str | None:
    if not keys:
        if len(rendered) != len(existing):
            return path
        return _first(_differing(one, other, f"{path}[]") for one, other in zip(rendered, existing, strict=True))
    known = {identity(item, keys): item for item in existing}
    return _first(
        _differing(item, known.get(identity(item, keys)), f"{path}[{written(identity(item, keys))}]")
        for item in rendered
    )


def _first(paths: Any) -> str | None:
    return next((path for path in paths if path is not None), None)


def _says_nothing(field: str, value: Any) -> bool:
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
