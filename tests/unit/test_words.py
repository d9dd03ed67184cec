"""Texts for users hold no verbs of speech and no vague people: what messages, descriptions and docs avoid."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelyard
from tests.support.rendering import REPOSITORY

SOURCES = Path(modelyard.__file__).parent
PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").glob("**/*.md"),
        *(page for folder in ("deploy", "examples") for page in (REPOSITORY / folder).glob("**/*.yaml")),
    ]
)
AVOIDED = re.compile(
    r"\b(some|no|any)body\b|\bwhoever\b|\basked for\b|\b(set|sets) back\b|\btaken in\b"
    r"|\b(tell|tells|told|say|says|said|hear|hears|heard)\b",
    re.IGNORECASE,
)
CODE_BLOCK = re.compile(r"```.*?```", re.DOTALL)


def texts(tree: ast.AST) -> Iterator[str]:
    """The text literals of a module, less its docstrings."""
    documented = (node.body for node in ast.walk(tree) if hasattr(node, "body") and isinstance(node.body, list))
    docstrings = {id(line.value) for body in documented for line in body if isinstance(line, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("part", sorted(path.name for path in SOURCES.iterdir() if path.is_dir()))
def test_texts_of_the_program_use_the_fields_words(part: str) -> None:
    modules = [path for path in (SOURCES / part).glob("**/*.py") if "proto" not in path.parts]
    found = [(path.name, text) for path in modules for text in texts(ast.parse(path.read_text()))]
    assert [(name, text) for name, text in found if AVOIDED.search(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_pages_use_the_fields_words(page: Path) -> None:
    lines = CODE_BLOCK.sub("", page.read_text()).splitlines()
    assert [line for line in lines if AVOIDED.search(line)] == []


def test_the_check_finds_a_message_and_passes_a_docstring() -> None:
    tree = ast.parse('def f():\n    """Told."""\n    raise ValueError(f"{1} is told")\n')
    assert [text for text in texts(tree) if AVOIDED.search(text)] == [" is told"]
