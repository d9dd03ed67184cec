"""Against the newest release, the CRDs in crds/ only gain: no stored object or file of a user may become invalid.

Before the first release that is an earlier version as tests make it (tests/support/releases.py).
"""

import pytest
import yaml

from tests.support.crd_compatibility import breaking_changes
from tests.support.crd_schema import Object
from tests.support.releases import ADDED_SINCE, CRDS, EARLIER, NEWEST

PRESENT: dict[str, Object] = {path.name: yaml.safe_load(path.read_text()) for path in CRDS.glob("*.yaml")}


def taken_away(former: Object, present: Object) -> list[str]:
    """What the CRD ``present`` refuses or drops that ``former`` took, over all versions."""
    schemas = {version["name"]: version["schema"]["openAPIV3Schema"] for version in present["spec"]["versions"]}
    return [
        change
        for version in former["spec"]["versions"]
        for change in breaking_changes(version["schema"]["openAPIV3Schema"], schemas[version["name"]])
    ]


@pytest.mark.parametrize("name", NEWEST.crds)
def test_no_version_or_subresource_or_name_is_taken_away(name: str) -> None:
    former, present = NEWEST.crds[name]["spec"], PRESENT[name]["spec"]
    assert present["scope"] == former["scope"]
    assert present["names"] | {"categories": []} == former["names"] | {"categories": []}
    served = {version["name"]: version for version in present["versions"] if version["served"]}
    for version in former["versions"]:
        assert version["name"] in served
        assert served[version["name"]].get("subresources") == version.get("subresources")


@pytest.mark.parametrize("name", NEWEST.crds)
def test_no_field_is_removed_required_or_tightened_and_no_default_changes(name: str) -> None:
    assert taken_away(NEWEST.crds[name], PRESENT[name]) == []


@pytest.mark.parametrize("field", ADDED_SINCE)
def test_a_field_that_a_later_version_lacks_is_found(field: str) -> None:
    [(name, earlier)] = EARLIER.crds.items()
    assert f"{field} is gone" in taken_away(PRESENT[name], earlier)
