"""docs/metrics.md as data: which metrics a section lists, and which a registry has."""

import re
from collections.abc import Iterable

from prometheus_client import Metric

from tests.support.rendering import REPOSITORY

PAGE = (REPOSITORY / "docs" / "metrics.md").read_text()

Metrics = dict[str, tuple[str, set[str]]]
"""Type and labels by name."""


def listed(section: str) -> Metrics:
    """What the section with this title lists."""
    [text] = re.findall(rf"^## {section}\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE)
    return {
        name: (type_, set(re.findall(r"`(\w+)`", labels)))
        for name, type_, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", text, re.MULTILINE)
    }


def present(families: Iterable[Metric]) -> Metrics:
    """What there is, as the page writes it."""
    found = {}
    for family in families:
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[family.name + ("_total" if family.type == "counter" else "")] = (family.type, labels)
    return found
