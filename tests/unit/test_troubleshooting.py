"""docs/troubleshooting.md and the reasons that a condition or a scaling decision can have are the same list."""

import re
from pathlib import Path

import pytest

from modelyard.api.reasons import every_reason
from modelyard.controller.autoscaler.expiry import TARGET_NOT_APPLIED
from modelyard.controller.autoscaler.unwritten import HELD_BY_OTHERS, SCALE_REFUSED
from modelyard.scaling import reasons

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
SECTIONS = re.findall(r"^### (.+)\n((?:(?!^#).*\n)*)", PAGE, re.MULTILINE)

OF_DECISIONS = (*reasons.EVERY, SCALE_REFUSED, HELD_BY_OTHERS, TARGET_NOT_APPLIED)
"""Reasons in status.scaling."""


def test_every_reason_has_its_section_and_every_section_its_reason() -> None:
    assert sorted(title for title, _ in SECTIONS) == sorted({*every_reason(), *OF_DECISIONS})


@pytest.mark.parametrize(("title", "text"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_every_section_explains_what_it_means_how_to_see_it_and_what_to_do(title: str, text: str) -> None:
    assert re.findall(r"^- (\w+): \S", text, re.MULTILINE) == ["Means", "See", "Do"], title


def test_no_reason_is_listed_twice_and_each_can_stand_in_a_condition() -> None:
    assert len(set(every_reason())) == len(every_reason())
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]{1,63}", reason) for reason in every_reason())
