"""Reads raw API objects without trusting their shape: what is missing or of another type is None or empty.

The API server checks its own objects, but caches hold partial ones and a status may be of a version that we don't know;
a status that cannot be computed would be worse than an incomplete one.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from modelyard.api.fields import ApiModel
from modelyard.api.service import Object
from modelyard.contract import quantity

Part = TypeVar("Part", bound=ApiModel)

_YEARS = range(2000, 9000)
"""Beyond them adding seconds or changing the time zone can overflow."""


def at(value: Any, *path: str) -> Any:
    """What lies at ``path`` below ``value``, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: Any, *path: str) -> str:
    """The text at ``path``, or an empty one."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str) -> int | None:
    """The whole number at ``path``."""
    found = at(value, *path)
    return found if type(found) is int else None


def amount(value: Any, *path: str) -> int | None:
    """The quantity at ``path`` as the whole number that Kubernetes counts it as: ``1k`` devices are 1000."""
    found = at(value, *path)
    try:
        return quantity.whole(quantity.parse(found)) if isinstance(found, str) else number(found)
    except ValueError:
        return None


def texts(value: Any, *path: str) -> dict[str, str]:
    """The texts by name at ``path``, such as labels."""
    found = at(value, *path)
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in pairs if isinstance(name, str) and isinstance(value, str)}


def moment(value: Any, *path: str) -> datetime | None:
    """The RFC 3339 time at ``path``; one that no cluster can have seen is none."""
    try:
        found = datetime.fromisoformat(text(value, *path))
    except ValueError:
        return None
    if found.year not in _YEARS:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def entries(value: Any, *path: str) -> list[Object]:
    """The objects in the list at ``path``."""
    found = at(value, *path)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def entry(value: Any, *path: str, **keys: str) -> Object:
    """The first object in the list at ``path`` that has ``keys``, such as type="Ready"; empty when there is none."""
    return next((e for e in entries(value, *path) if all(e.get(k) == v for k, v in keys.items())), {})


def readable(part: type[Part], stored: object) -> Part | None:
    """What another version of the operator may have ``stored`` in a status, if this one can read it."""
    try:
        return part.model_validate(stored)
    except ValidationError:
        return None
