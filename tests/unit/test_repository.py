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
LINK_TO_A_PART = re.compile(r"\]\((?!https?://)([^)#]*)#([^)]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
DECISIONS = sorted((REPOSITORY / "docs" / "adr").glob("*.md"))
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")


def test_the_source_root_is_no_package_since_it_would_shadow_pythons_own_operator() -> None:
    assert SOURCE_ROOT.name == operator.__name__
    assert not (SOURCE_ROOT / "__init__.py").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_what_a_page_links_to_or_names_is_there(page: Path) -> None:
    text = page.read_text()
    named = [*(page.parent / path for path in LINK.findall(text)), *(REPOSITORY / path for path in PATH.findall(text))]
    assert [str(path) for path in named if not path.exists()] == []


def parts(page: Path) -> set[str]:
    """The names by which a link finds the page's headings, as GitHub makes them."""
    headings = (heading.lower().replace(" ", "-") for heading in HEADING.findall(page.read_text()))
    return {re.sub(r"[^\w-]", "", heading) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_part_of_a_page_that_is_linked_to_is_there(page: Path) -> None:
    linked = [((page.parent / path if path else page), part) for path, part in LINK_TO_A_PART.findall(page.read_text())]
    assert [f"{other.name}#{part}" for other, part in linked if part not in parts(other)] == []


def test_decisions_are_numbered_without_a_gap_as_their_titles_are() -> None:
    numbers = [int(page.name.partition("-")[0]) for page in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))
    assert [int(HEADING.findall(page.read_text())[0].partition(".")[0]) for page in DECISIONS] == numbers


def test_pages_are_found_with_their_links_and_paths() -> None:
    assert REPOSITORY / "docs" / "user-guide.md" in PAGES
    assert LINK.findall("[a](docs/a.md#part), [b](https://example.com)") == ["docs/a.md"]
    assert LINK_TO_A_PART.findall("[a](docs/a.md#part), [b](#here), [c](d.md)") == [("docs/a.md", "part"), ("", "here")]
    assert parts(REPOSITORY / "docs" / "user-guide.md") >= {"triton", "hugging-face-or-a-mirror"}
    assert PATH.findall("`docs/a.md`, `docs/`, `apps/v1`, docs/b.md") == ["docs/a.md", "docs/"]
