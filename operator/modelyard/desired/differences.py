"""Where two objects differ: one walk over plain data, for drift and for what a refresh would change."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from modelyard.desired.strategic_merge import MERGE_KEYS, identity, written


class _Absent:
    """Stands for a missing value: null is a value, which unsets a field."""

    def __repr__(self) -> str:
        return "none"


ABSENT = _Absent()

Same = Callable[[Any, Any], bool]


class Difference(NamedTuple):
    """The innermost place where two objects differ, such as ``spec.containers[engine].image``, and what each has."""

    path: str
    one: Any
    other: Any

    @property
    def field(self) -> str:
        """The last name of the path."""
        return last_field(self.path)


def last_field(path: str) -> str:
    """The last name of a path."""
    return path.rsplit(".", 1)[-1]


def differences(
    one: Any, other: Any, path: str = "", *, whole: Mapping[str, Same] = MappingProxyType({})
) -> Iterator[Difference]:
    """Each innermost place where the two differ.

    Items of the lists in MERGE_KEYS are compared with those of the same identity, those of other lists one by one where
    they are as many. A field in ``whole`` is one value, which its function compares.
    """
    field = last_field(path)
    if field in whole:
        if not whole[field](one, other):
            yield Difference(path, one, other)
    elif isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {**one, **other}:
            below = f"{path}.{key}" if path else key
            yield from differences(one.get(key, ABSENT), other.get(key, ABSENT), below, whole=whole)
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        yield from _of_lists(one, other, path, whole)
    elif one != other:
        yield Difference(path, one, other)


def _of_lists(
    one: list[Any] | tuple[Any, ...], other: list[Any] | tuple[Any, ...], path: str, whole: Mapping[str, Same]
) -> Iterator[Difference]:
    if keys := MERGE_KEYS.get(last_field(path)):
        ours = {identity(item, keys): item for item in one}
        theirs = {identity(item, keys): item for item in other}
        for known in {**ours, **theirs}:
            below = f"{path}[{written(known)}]"
            yield from differences(ours.get(known, ABSENT), theirs.get(known, ABSENT), below, whole=whole)
    elif len(one) == len(other):
        for mine, yours in zip(one, other, strict=True):
            yield from differences(mine, yours, f"{path}[]", whole=whole)
    else:
        yield Difference(path, one, other)
