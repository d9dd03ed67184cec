"""ARCHITECTURE.md's table of changes names files and registry lines that are there."""

import re
from pathlib import Path

import pytest

import modelyard

PACKAGE = Path(modelyard.__file__).parent
REPOSITORY = PACKAGE.parents[1]
ELSEWHERE = ("bench/", "crds/", "deploy/", "docs/", "e2e/", "examples/", "tests/")
"""Folders of the repository; every other path of the table is below the package."""

TABLE = (REPOSITORY / "ARCHITECTURE.md").read_text().partition("## Which file a change touches")[2]
ROWS = [row.split(" | ", 1) for row in re.findall(r"^\| (.+) \|$", TABLE, re.MULTILINE)[1:]]
PATH = re.compile(r"`([\w./-]+/[\w./-]*|\w+\.\w+)`")
REGISTRY_LINE = re.compile(r"`(\w+)` in `([\w./-]+\.py)`")


def file(path: str) -> Path:
    """Where a path of the table leads."""
    return (REPOSITORY if path.startswith(ELSEWHERE) else PACKAGE) / path


def defines(path: str, name: str) -> bool:
    """Whether the module at ``path`` defines ``name``, as a class, a function, a constant or a field."""
    return (
        re.search(rf"^(?:class |(?:async )?def )?\s*{name}\b\s*[:=(]", file(path).read_text(), re.MULTILINE) is not None
    )


@pytest.mark.parametrize(("change", "files"), ROWS, ids=[change for change, _ in ROWS])
def test_the_files_of_a_row_exist_and_define_what_it_names(change: str, files: str) -> None:
    paths = PATH.findall(files)
    assert paths, f"{change}: the row names no file"
    assert [path for path in paths if not file(path).exists()] == []
    assert [(name, path) for name, path in REGISTRY_LINE.findall(files) if not defines(path, name)] == []


def test_the_table_is_read_whole() -> None:
    assert len(ROWS) >= 25
    assert REGISTRY_LINE.findall("`ENGINES` in `integrations/engines/__init__.py`") == [
        ("ENGINES", "integrations/engines/__init__.py")
    ]
    assert not file("integrations/engines/no_such_engine.py").exists()
    assert not defines("integrations/engines/__init__.py", "NO_SUCH_LINE")
