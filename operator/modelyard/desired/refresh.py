"""What a refresh would change of a service's pods: where the present and the new pod template differ."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.api.service import Object, Service
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.contract.untrusted import bounded
from modelyard.desired import pod
from modelyard.desired.differences import ABSENT, Difference, differences
from modelyard.desired.profile_defaults import ProfileLookup
from modelyard.desired.resolve import Share, checked_template, resolved_anew
from modelyard.desired.resolved import Resolved

CHANGES_LIMIT = 6
CHANGE_LENGTH = 250
"""Room for two images with digests. With CHANGES_LIMIT it leaves room in a message for the command that takes them."""

ORDER = "the order of lists in the pod template"
"""The one difference that has no place."""

_CONTAINER = re.compile(r"^(?:initC|c)ontainers\[([^]]+)\]\.")
_NAMED = re.compile(r"(?<= )(env|command|args)\.")


@dataclass(frozen=True)
class Update:
    """``changes`` are empty where a refresh would change no pod; ``refusal`` is what it would end in."""

    changes: tuple[str, ...] = ()
    refusal: InvalidError | None = None


@dataclass(frozen=True)
class _Hidden:
    """A value that is compared and never shown: a status has more readers than a spec."""

    value: Any


def update(service: Service, resolved: Resolved, settings: Settings, profile: ProfileLookup | None = None) -> Update:
    """What a refresh would do to the pools of ``service``, which came to ``resolved``: CHANGES_LIMIT changes, and how
    many more.

    Templates are rendered only where what a pool takes from profile and settings is no longer what was recorded.
    """
    found: dict[str, None] = {}
    try:
        for pool in resolved.pools:
            share = Share(pool.name, pool.replicas)
            anew = resolved_anew(service, share, settings, profile, pool.refresh)
            if anew.inputs != pool.inputs:
                found |= dict.fromkeys(changes(resolved.templates[pool.name], checked_template(anew)))
    except InvalidError as refusal:
        return Update(refusal=refusal)
    first, more = tuple(found)[:CHANGES_LIMIT], len(found) - CHANGES_LIMIT
    return Update(changes=(*first, f"{more} more") if more > 0 else first)


def changes(present: Object, refreshed: Object) -> list[str]:
    """Where the two pod templates differ, images first; nowhere if the pods would stay.

    ``engine image a -> b`` is the image of the container ``engine``. Of variables, and of the arguments behind the
    launcher's, only names are shown, since their values may hold secrets. The launcher's own are numbers and paths.
    """
    if pod.template_hash(present) == pod.template_hash(refreshed):
        return []
    found = sorted(differences(_comparable(present), _comparable(refreshed)), key=lambda each: each.field != "image")
    return [_shown(each) for each in found] or [ORDER]


def _comparable(template: Object) -> Object:
    """The template without the hash of itself, and what is hidden in it so marked."""
    about, spec = template["metadata"], template["spec"]
    return {
        **spec,
        "metadata": about | {"annotations": about["annotations"] | {names.ANNOTATION_TEMPLATE: ""}},
        **{field: [_container(each) for each in spec[field]] for field in ("initContainers", "containers")},
    }


def _container(container: Object) -> Object:
    return container | {
        "env": {entry["name"]: _Hidden(entry) for entry in container.get("env", [])},
        "command": _arguments(container.get("command", [])),
        "args": _arguments(container.get("args", [])),
    }


def _arguments(command: Sequence[str]) -> Object:
    """What stands with each flag."""
    ours = command.index("--") if names.PATH_LAUNCHER in command else 0
    by_flag: dict[str, Any] = {flag: value for flag, _, value in (each.partition("=") for each in command[:ours])}
    flag = "program"
    for argument in command[ours:]:
        flag = argument.partition("=")[0] if argument.startswith("--") else flag
        by_flag[flag] = _Hidden((*(by_flag[flag].value if flag in by_flag else ()), argument))
    return by_flag


def _shown(difference: Difference) -> str:
    place = _NAMED.sub(r"\1 ", _CONTAINER.sub(r"\1 ", difference.path))
    values = (difference.one, difference.other)
    if all(value is ABSENT or isinstance(value, str | int | float) for value in values):
        return bounded(f"{place} {values[0]} -> {values[1]}", CHANGE_LENGTH)
    if ABSENT in values:
        return bounded(f"{place} {'added' if values[0] is ABSENT else 'removed'}", CHANGE_LENGTH)
    return bounded(f"{place} changed", CHANGE_LENGTH)
