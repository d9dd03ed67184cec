"""What released versions wrote, which `make release-golden` keeps in tests/golden/releases/<version>/.

The tests that hold this version to its predecessors need one also before the first release: EARLIER is made here, of
this version. `python -m tests.support.releases` keeps this version's files, as the last step of `make release-golden`.
"""

import json
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import yaml

import modelyard
from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired.template_record import RENDERING
from tests.support.crd_schema import find, without
from tests.support.rendering import REPOSITORY

GOLDEN = REPOSITORY / "tests" / "golden"
FOLDER = GOLDEN / "releases"
CRDS = REPOSITORY / "crds"

ADDED_SINCE = (
    "spec.imagePullSecrets",
    "spec.model.aliases",
    "spec.networkPolicy",
    "spec.podTemplate",
    "spec.profile",
    "spec.service",
)
"""Fields that the earlier version's InferenceService lacks, and that none of EARLIER_CASES has."""

EARLIER_CASES = (
    "everything-set",
    "minimal-gpu",
    "platform-settings",
    "private-store",
    "smollm-cpu",
    "tensor-parallel-4",
    "users-flags-win",
)


class Kept(NamedTuple):
    """A service as its user wrote it, the profile that it had, and the children that the release made of it."""

    release: str
    case: str
    service: Object
    profile: Object | None
    children: tuple[Object, ...]

    @property
    def deployment(self) -> Object:
        """The Deployment among the children."""
        return next(child for child in self.children if child["kind"] == kinds.DEPLOYMENT.kind)


class Release(NamedTuple):
    """What one version wrote. ``crds`` are its CRDs by file name."""

    version: str
    services: tuple[Kept, ...]
    crds: dict[str, Object]


def keep(folder: Path) -> None:
    """Write this version's cases, the children that it renders of them, and its CRDs to the new ``folder``.

    Raises FileExistsError where it is there: a release never changes.
    """
    folder.mkdir(parents=True)
    for part in (GOLDEN / "cases", GOLDEN / "expected", CRDS):
        shutil.copytree(part, folder / part.name)


def read(folder: Path) -> Release:
    """The release that was kept in ``folder``, which is named for its version."""
    return Release(folder.name, tuple(_kept(folder.name, folder)), _crds(folder / "crds"))


def earlier() -> Release:
    """A version before this one: its pods have the number of the former rendering, and its CRD has fewer fields."""
    services = [_in_the_former_rendering(kept) for kept in _kept("earlier", GOLDEN)]
    [name] = [name for name in _crds(CRDS) if name.endswith(f"_{kinds.INFERENCE_SERVICE.plural}.yaml")]
    return Release("earlier", tuple(services), {name: _without_added_fields(_crds(CRDS)[name])})


def _kept(version: str, folder: Path) -> Iterator[Kept]:
    for case in sorted((folder / "cases").glob("*.yaml")):
        service, *rest = yaml.safe_load_all(case.read_text())
        children = yaml.safe_load_all((folder / "expected" / case.name).read_text())
        yield Kept(version, case.stem, service, rest[0].get("profile") if rest else None, tuple(children))


def _crds(folder: Path) -> dict[str, Object]:
    return {path.name: yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))}


def _in_the_former_rendering(kept: Kept) -> Kept:
    children = deepcopy(kept.children)
    annotations = kept._replace(children=children).deployment["metadata"]["annotations"]
    record = json.loads(annotations[names.ANNOTATION_INPUTS])
    assert record["inputs"]["rendering"] == RENDERING
    record["inputs"]["rendering"] -= 1
    annotations[names.ANNOTATION_INPUTS] = json.dumps(record, separators=(",", ":"))
    return kept._replace(children=children)


def _without_added_fields(crd: Object) -> Object:
    for place in ADDED_SINCE:
        [version] = crd["spec"]["versions"]
        properties = ".".join(f"properties.{name}" for name in place.split("."))
        crd = without(crd, ("spec", "versions", 0, *find(version, f"schema.openAPIV3Schema.{properties}")))
    return crd


def _number(folder: Path) -> tuple[int, ...]:
    return tuple(map(int, folder.name.split(".")))


RELEASES = tuple(map(read, sorted((folder for folder in FOLDER.iterdir() if folder.is_dir()), key=_number)))
EARLIER = earlier()
NEWEST = (
    RELEASES[-1]
    if RELEASES
    else EARLIER._replace(services=tuple(kept for kept in EARLIER.services if kept.case in EARLIER_CASES))
)
"""Before the first release, the earlier version that is made here, with the services that its CRD knows."""


if __name__ == "__main__":
    keep(FOLDER / modelyard.__version__)
