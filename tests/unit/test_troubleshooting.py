"""docs/troubleshooting.md, the table of reasons, and the reasons that the code raises are the same list."""

import ast
import re
from pathlib import Path

import pytest

import modelyard
from modelyard.api.reasons import FETCH_FAILURES, every_reason

SOURCES = Path(modelyard.__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
SECTIONS = re.findall(r"^### (.+)\n((?:(?!^#).*\n)*)", PAGE, re.MULTILINE)


def test_every_reason_has_its_section_and_every_section_its_reason() -> None:
    assert sorted(title for title, _ in SECTIONS) == sorted(every_reason())


@pytest.mark.parametrize(("title", "text"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_every_section_says_what_it_means_how_to_see_it_and_what_to_do(title: str, text: str) -> None:
    assert re.findall(r"^- (\w+): \S", text, re.MULTILINE) == ["Means", "See", "Do"], title


def test_no_reason_is_listed_twice_and_each_can_stand_in_a_condition() -> None:
    assert len(set(every_reason())) == len(every_reason())
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]{1,63}", reason) for reason in every_reason())


def raised_reasons() -> set[str]:
    """The first argument of each error of ours that is raised with a reason, where it is written as a text."""
    calls = (node for tree in trees("**/*.py") for node in ast.walk(tree) if isinstance(node, ast.Call))
    named = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id.endswith("Error"))
    reasons = (call.args[0].value for call in named if len(call.args) > 1 and isinstance(call.args[0], ast.Constant))
    return {reason for reason in reasons if isinstance(reason, str)}


def fetchers_reasons() -> set[str]:
    """The members of the fetcher's own list of reasons."""
    classes = (
        node for tree in trees("fetcher/failure.py") for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    )
    members = (member for class_ in classes if class_.name == "Reason" for member in class_.body)
    values = (member.value for member in members if isinstance(member, ast.Assign))
    return {str(value.value) for value in values if isinstance(value, ast.Constant)}


def trees(pattern: str) -> list[ast.AST]:
    return [ast.parse(path.read_text()) for path in SOURCES.glob(pattern)]


def test_every_reason_that_is_raised_is_in_the_table() -> None:
    ends_the_start = {"SettingsInvalid"}
    assert raised_reasons() >= ends_the_start | {"InvalidSpec"}
    assert raised_reasons() - ends_the_start <= set(every_reason())


def test_every_reason_of_the_fetcher_is_known_by_name() -> None:
    assert fetchers_reasons() <= set(FETCH_FAILURES)
