"""What a CRD takes from the people who use its former version: pure, over two structural schemas.

Fields may be added and bounds loosened. CEL rules are not judged here, since the text of a rule does not show what it
refuses: the API server judges stored objects by them (test_crd_upgrade.py).
"""

from tests.support.crd_schema import Object, nodes

LOWER_BOUNDS = ("minLength", "minimum", "minItems", "minProperties")
UPPER_BOUNDS = ("maxLength", "maximum", "maxItems", "maxProperties")
FIXED = (
    "type",
    "format",
    "default",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)
"""Keywords that may not change: they define what is stored, and how two writers' parts of it are merged."""


def breaking_changes(former: Object, present: Object) -> list[str]:
    """What ``present`` refuses or drops that ``former`` took, each with its place; empty when there is nothing."""
    now = dict(nodes(present))
    found: list[str] = []
    for place, node in nodes(former):
        if place not in now:
            found.append(f"{place} is gone")
        else:
            found += [f"{place}: {change}" for change in _of_node(node, now[place])]
    return found


def _of_node(former: Object, present: Object) -> list[str]:
    return [
        *(
            f"{key} was {former.get(key)}, is {present.get(key)}"
            for key in FIXED
            if former.get(key) != present.get(key)
        ),
        *(f"{name} is required" for name in present.get("required", []) if name not in former.get("required", [])),
        *_tightened(former, present),
        *_fewer_choices(former.get("enum"), present.get("enum")),
    ]


def _tightened(former: Object, present: Object) -> list[str]:
    changes = [
        f"{key} {present[key]} is above {former.get(key, 'none')}"
        for key in LOWER_BOUNDS
        if key in present and (key not in former or present[key] > former[key])
    ]
    changes += [
        f"{key} {present[key]} is below {former.get(key, 'none')}"
        for key in UPPER_BOUNDS
        if key in present and (key not in former or present[key] < former[key])
    ]
    return changes


def _fewer_choices(former: list[object] | None, present: list[object] | None) -> list[str]:
    if present is None:
        return []
    if former is None:
        return ["enum limits what was free"]
    return [f"enum lacks {choice}" for choice in former if choice not in present]
