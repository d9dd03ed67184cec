"""Against the newest release, the CRDs in crds/ only gain: no stored object or file of a user may become invalid."""

from pathlib import Path

import pytest
import yaml

from tests.support.crd_compatibility import breaking_changes
from tests.support.crd_schema import Object
from tests.support.releases import NEWEST
from tests.support.rendering import REPOSITORY

CRDS = REPOSITORY / "crds"
RELEASED = sorted((NEWEST / "crds").glob("*.yaml"))


def spec(path: Path) -> Object:
    found: Object = yaml.safe_load(path.read_text())["spec"]
    return found


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: str(path.name))
def test_no_version_or_subresource_or_name_is_taken_away(released: Path) -> None:
    former, present = spec(released), spec(CRDS / released.name)
    assert present["scope"] == former["scope"]
    assert present["names"] | {"categories": []} == former["names"] | {"categories": []}
    served = {version["name"]: version for version in present["versions"] if version["served"]}
    for version in former["versions"]:
        assert version["name"] in served
        assert served[version["name"]].get("subresources") == version.get("subresources")


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: str(path.name))
def test_no_field_is_removed_required_or_tightened_and_no_default_changes(released: Path) -> None:
    present = {version["name"]: version["schema"] for version in spec(CRDS / released.name)["versions"]}
    for version in spec(released)["versions"]:
        schemas = version["schema"]["openAPIV3Schema"], present[version["name"]]["openAPIV3Schema"]
        assert breaking_changes(*schemas) == []
