"""Objects from a CRD's own schema, for hypothesis: mostly what users would write, with something odd here and there.

The schema knows types, bounds and choices, but not what its CEL rules require. So texts are mostly taken from examples,
by the place where they stand, and a part of all objects gets through; a new field is covered with its first example.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]

PRESERVED = "x-kubernetes-preserve-unknown-fields"
ODD = 160
"""One value in so many is anything at all: a spec has about thirty of them."""

MADE_UP = 12
"""One object in so many is put together from its fields alone; the others begin as one of the examples has it, since
fields such as a model's belong together."""

UNUSUAL = 20
"""One leaf in so many has the right type, but is none that the examples have."""

WHOLE = " whole"

TEXTS = (
    *("a", "a-b", "a.b", "a..b", "a-", "A", "0", "-1", "1e3", "0.5", "500m", "32Gi", "4", "true", "null", "", " "),
    *("s3://models/a b", "s3://models/../x", "s3://m/%2e", "hf://org/model@main", "pvc://claim/path", "https://h/x"),
    *("nvidia.com/gpu", "example.com/a..b", "a_b", "_", "--port=1", "--model=/x", "$(HOME)", "{{x}}", "%s", "a,b"),
    *("registry.example.com/x:1", "registry.example.com:5000/x@sha256:" + "0" * 64, "x:y:z", "10.0.0.0/8", "::/0"),
    *("x" * 50, "x" * 63, "x" * 64, "x" * 253, "é", "\u0000", "\n", "a\tb", "\u202e", "😀", "'\"\\"),
)
NUMBERS = (-1, 0, 1, 2, 8, 63, 64, 65, 1000, 86400, 2**31 - 1, 2**31, 2**53, 2**63 - 1)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.sampled_from(NUMBERS), st.floats(allow_nan=False, allow_infinity=False)
)


TEXT = st.sampled_from(TEXTS)
FEW = st.integers(0, 3)
PRESENT = st.booleans()
ANYTHING = st.recursive(
    SCALARS | TEXT | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
"""Any small JSON."""


class Objects:
    """What satisfies ``schema``, or nearly; ``examples`` are whole objects whose values are known to be good."""

    def __init__(self, schema: Object, examples: Iterable[Object]) -> None:
        self._schema = schema
        self._leaves: dict[str, st.SearchStrategy[Any]] = {}
        known: dict[str, list[Any]] = {}
        for example in examples:
            for place, value in _values(schema, example, ""):
                if value not in known.setdefault(place, []):
                    known[place].append(value)
        self._known = {place: st.sampled_from(values) for place, values in known.items()}

    def at(self, place: str) -> st.SearchStrategy[Any]:
        """Values for ``place``, written as in tests.support.crd_schema: "spec", "metadata.name"."""
        node = self._schema
        for step in place.split("."):
            node = node["properties"][step]
        return st.composite(lambda draw: self._value(draw, node, place))()

    def _value(self, draw: st.DrawFn, node: Object, place: str) -> Any:
        if _once_in(draw, ODD):
            return draw(ANYTHING)
        match node.get("type"):
            case "object" if "properties" in node:
                return self._object(draw, node, place)
            case "object" if "additionalProperties" in node:
                return self._map(draw, node, place)
            case "array":
                return self._list(draw, node, place)
            case _:
                known = self._known.get(place)
                return draw(known if known is not None and not _once_in(draw, UNUSUAL) else self._leaf(node, place))

    def _object(self, draw: st.DrawFn, node: Object, place: str) -> Object:
        wholes = self._known.get(f"{place}{WHOLE}")
        if wholes is not None and not _once_in(draw, MADE_UP):
            changed = {name: field for name, field in node["properties"].items() if _once_in(draw, UNUSUAL)}
            whole: Object = draw(wholes)
            return whole | {name: self._value(draw, field, f"{place}.{name}") for name, field in changed.items()}
        required = node.get("required", ())
        present = [name for name in node["properties"] if name in required or draw(PRESENT)]
        return {name: self._value(draw, node["properties"][name], f"{place}.{name}") for name in present}

    def _map(self, draw: st.DrawFn, node: Object, place: str) -> Object:
        known = self._known.get(f"{place}{{}} keys", TEXT)
        keys = [draw(TEXT if _once_in(draw, UNUSUAL) else known) for _ in range(draw(FEW))]
        return {key: self._value(draw, node["additionalProperties"], f"{place}{{}}") for key in keys}

    def _list(self, draw: st.DrawFn, node: Object, place: str) -> list[Any]:
        items = [self._value(draw, node["items"], f"{place}[]") for _ in range(draw(FEW))]
        keys = node.get("x-kubernetes-list-map-keys")
        if keys is None:
            return items
        by_key = {str([item.get(key) for key in keys]) if isinstance(item, dict) else "": item for item in items}
        return list(by_key.values())

    def _leaf(self, node: Object, place: str) -> st.SearchStrategy[Any]:
        if place not in self._leaves:
            self._leaves[place] = _leaf(node)
        return self._leaves[place]


@cache
def _up_to(number: int) -> st.SearchStrategy[int]:
    return st.integers(1, number)


def _once_in(draw: st.DrawFn, number: int) -> bool:
    return draw(_up_to(number)) == number


def _leaf(node: Object) -> st.SearchStrategy[Any]:
    """Values of the schema's type, at its bounds and beyond."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if PRESERVED in node:
        return st.dictionaries(TEXT, ANYTHING, max_size=3)
    if node.get("x-kubernetes-int-or-string"):
        return st.sampled_from(NUMBERS) | TEXT
    match node.get("type"):
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(node.get("minimum", 0), node.get("maximum", 2**31 - 1)) | st.sampled_from(NUMBERS)
        case "string":
            return TEXT | st.text(max_size=80) | st.just("x" * node.get("maxLength", 1))
        case kind:
            raise ValueError(f"type {kind}, which no strategy is written for")


def _values(node: Object, value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every leaf of ``value`` with its place; of maps the keys as well, of objects inside the spec the whole."""
    if "properties" in node and isinstance(value, dict):
        if "." in place:
            yield f"{place}{WHOLE}", value
        for name, field in node["properties"].items():
            if name in value:
                yield from _values(field, value[name], f"{place}.{name}".lstrip("."))
    elif "additionalProperties" in node and isinstance(value, dict):
        for key, inner in value.items():
            yield f"{place}{{}} keys", key
            yield from _values(node["additionalProperties"], inner, f"{place}{{}}")
    elif "items" in node and isinstance(value, list):
        for item in value:
            yield from _values(node["items"], item, f"{place}[]")
    else:
        yield place, value
