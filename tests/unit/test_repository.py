"""Rules of the repository that no other tool holds."""

import operator
import re
from pathlib import Path

import pytest

import modelyard

SOURCE_ROOT = Path(modelyard.__file__).parents[1]
REPOSITORY = SOURCE_ROOT.parent
FOLDERS = sorted(folder.name for folder in REPOSITORY.iterdir() if folder.is_dir() and folder.name[0] != ".")
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *(page for folder in FOLDERS for page in REPOSITORY.glob(f"{folder}/**/*.md"))]
)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")


def test_the_source_root_is_no_package_since_it_would_shadow_pythons_own_operator() -> None:
    assert SOURCE_ROOT.name == operator.__name__
    assert not (SOURCE_ROOT / "__init__.py").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_what_a_page_links_to_or_names_is_there(page: Path) -> None:
    text = page.read_text()
    named = [*(page.parent / path for path in LINK.findall(text)), *(REPOSITORY / path for path in PATH.findall(text))]
    assert [str(path) for path in named if not path.exists()] == []


def test_pages_are_found_with_their_links_and_paths() -> None:
    assert REPOSITORY / "docs" / "user-guide.md" in PAGES
    assert LINK.findall("[a](docs/a.md#part), [b](https://example.com)") == ["docs/a.md"]
    assert PATH.findall("`docs/a.md`, `docs/`, `apps/v1`, docs/b.md") == ["docs/a.md", "docs/"]
