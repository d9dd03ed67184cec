"""Which Debian archive the set-up fetches from: the one that the host itself uses."""

from pathlib import Path

import pytest

from e2e.cluster import debian
from e2e.cluster.steps import CannotMakeError

ONE_LINE = """# comment
deb-src http://mirror.example/debian bookworm main
deb [signed-by=/key.gpg] http://mirror.example/security bookworm-security main
deb [signed-by=/key.gpg] http://mirror.example/debian bookworm main contrib
"""
STANZAS = """Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security

# comment
Types: deb deb-src
URIs: http://mirror.example/debian http://second.example/debian
Suites: bookworm bookworm-updates
Components: main
"""


@pytest.mark.parametrize(("name", "text"), [("sources.list", ONE_LINE), ("sources.list.d/debian.sources", STANZAS)])
def test_the_archive_is_the_one_of_the_host_in_either_format(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    assert debian.archive("bookworm", tmp_path) == "http://mirror.example/debian"


def test_sources_without_an_archive_of_the_release_are_reported(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    with pytest.raises(CannotMakeError, match="names an archive of Debian sid"):
        debian.archive("sid", tmp_path)
