"""What released versions wrote, as `make release-golden` keeps it: tests/golden/releases/<version>/."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from modelyard.api.service import Object
from tests.support.rendering import REPOSITORY

FOLDER = REPOSITORY / "tests" / "golden" / "releases"


def _number(release: Path) -> tuple[int, ...]:
    return tuple(map(int, release.name.split(".")))


RELEASES = sorted(FOLDER.iterdir(), key=_number)
NEWEST = RELEASES[-1]


class Kept(NamedTuple):
    """A service as its user wrote it, and the children that the release made of it."""

    release: str
    case: str
    service: Object
    children: tuple[Object, ...]


def kept(release: Path) -> Iterator[Kept]:
    """All cases of a release."""
    for case in sorted((release / "cases").glob("*.yaml")):
        service, *_ = yaml.safe_load_all(case.read_text())
        children = yaml.safe_load_all((release / "expected" / case.name).read_text())
        yield Kept(release.name, case.stem, service, tuple(children))
