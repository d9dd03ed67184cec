"""The golden cases: what a user and a platform team wrote, as the API server would store it."""

from pathlib import Path
from typing import TypedDict

import yaml

from modelyard.api.service import Object
from modelyard.api.settings import Settings
from modelyard.desired.profile_defaults import ProfileLookup
from modelyard.prefetch.round import Round
from tests.support.rendering import REPOSITORY, SETTINGS, offer

CASES = sorted((REPOSITORY / "tests" / "golden" / "cases").glob("*.yaml"))
ADDED_BY_THE_SERVER = {"namespace": "team-a", "uid": "8f2c1a52-0000-4000-8000-000000000001", "generation": 1}


class Case(TypedDict):
    """A service, the operator's settings, and the service's profile."""

    body: Object
    settings: Settings
    profile: ProfileLookup | None


def planned(path: Path) -> Round | None:
    """What a Job shall prefetch in the case in a file: that is decided from nodes, and so no part of the service."""
    _, *rest = yaml.safe_load_all(path.read_text())
    round_ = rest[0].get("round") if rest else None
    return Round.model_validate(round_) if round_ else None


def read(path: Path) -> Case:
    """The case in a file: the service and, behind it, the settings and the profile that are not the defaults."""
    body, *rest = yaml.safe_load_all(path.read_text())
    around = rest[0] if rest else {}
    return {
        "body": body | {"metadata": ADDED_BY_THE_SERVER | body["metadata"]},
        "settings": Settings.model_validate(SETTINGS.model_dump() | around.get("settings", {})),
        "profile": offer(around["profile"]) if "profile" in around else None,
    }
