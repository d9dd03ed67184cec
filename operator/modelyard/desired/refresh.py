"""What a refresh would change of a service's pods, in the words of whoever would order it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from modelyard.api.fields import ApiModel
from modelyard.api.service import Object, Service
from modelyard.api.settings import Settings
from modelyard.contract.errors import InvalidError
from modelyard.desired import fetch_container, pod
from modelyard.desired.profile_defaults import Offer
from modelyard.desired.resolve import Share, checked_template, resolved_anew
from modelyard.desired.resolved import Pool, Resolved
from modelyard.desired.template_record import AppliedProfile, TemplateInputs

FORM = "the form of the pod template"
"""What a refresh changes where only the rendering differs: a newer operator writes pods in another way."""

NONE = "none"

UNTOLD = re.compile(r"engine variable .|engine argument .*(key|token|password|secret)$")
"""Answers whose values are never told: a status has more readers than a spec."""


@dataclass(frozen=True)
class Update:
    """``changes`` are empty where a refresh would change no pod; ``refusal`` is what it would end in."""

    changes: tuple[str, ...] = ()
    refusal: InvalidError | None = None


def update(service: Service, resolved: Resolved, settings: Settings, profile: Offer | None = None) -> Update:
    """What a refresh would do to the pools of ``service``, which came to ``resolved``.

    Templates are rendered only where what a pool takes from profile and settings is no longer what was recorded.
    """
    changes: dict[str, None] = {}
    try:
        for pool in resolved.pools:
            share = Share(pool.name, pool.replicas)
            anew = resolved_anew(service, share, settings, profile, pool.refresh)
            if anew.inputs != pool.inputs and _differs(resolved.templates[pool.name], checked_template(anew)):
                changes |= dict.fromkeys(differences(pool, anew))
    except InvalidError as refusal:
        return Update(refusal=refusal)
    return Update(changes=tuple(changes))


def _differs(template: Object, other: Object) -> bool:
    return pod.template_hash(template) != pod.template_hash(other)


def differences(before: Pool, after: Pool) -> list[str]:
    """What differs between two answers for one service, by name; they give different templates."""
    former, present = before.inputs.profile, after.inputs.profile
    said = [f"profile {_name(former)} -> {_name(present)}"] if _name(former) != _name(present) else []
    for section, answers in ANSWERS.items():
        source = (
            f" (profile {_name(present)})"
            if not said and _section(former, section) != _section(present, section)
            else ""
        )
        said += [f"{change}{source}" for change in _changes(answers(before), answers(after))]
    said += _changes({"fetch image": before.inputs.fetch_image}, {"fetch image": after.inputs.fetch_image})
    said += [f"setting {change}" for change in _differing_settings(before, after)]
    return said or [FORM]


def _name(profile: AppliedProfile | None) -> str:
    return profile.name if profile else NONE


def _section(profile: AppliedProfile | None, section: str) -> object:
    return getattr(profile.defaults, section) if profile else None


def _engine(pool: Pool) -> dict[str, str]:
    spec = pool.service.spec.engine
    return {
        "engine": pool.engine.name,
        "engine version": str(pool.version),
        "engine image": pool.image,
        **_arguments(spec.args),
        **{f"engine variable {variable.name}": _value(variable) for variable in spec.env},
    }


def _arguments(arguments: Iterable[str]) -> dict[str, str]:
    """Values by flag; an argument without dashes belongs to the flag before it."""
    found: dict[str, str] = {}
    flag = "engine arguments"
    for argument in arguments:
        value = argument
        if argument.startswith("-"):
            name, _, value = argument.partition("=")
            flag = f"engine argument {name}"
        found[flag] = f"{found.get(flag, '')} {value}".strip()
    return {name: value or "on" for name, value in found.items()}


def _value(variable: ApiModel) -> str:
    return variable.model_dump_json(exclude_none=True)


def _accelerator(pool: Pool) -> dict[str, str]:
    chosen, devices = pool.accelerator, pool.accelerator.devices
    further = pool.service.spec.accelerator.model_dump(exclude_defaults=True, exclude={"type", "count", "resource"})
    return {
        "accelerator": f"{devices.count} {devices.resource} ({chosen.type})" if devices.resource else chosen.type,
        **{f"accelerator {name}": _shown(tuple(value)) for name, value in further.items()},
    }


def _resources(pool: Pool) -> dict[str, str]:
    stated = pool.service.spec.resources
    return {
        **{f"request of {name}": str(amount) for name, amount in stated.requests.items()},
        **{f"limit of {name}": str(amount) for name, amount in stated.limits.items()},
    }


ANSWERS: Mapping[str, Callable[[Pool], dict[str, str]]] = {
    "engine": _engine,
    "accelerator": _accelerator,
    "resources": _resources,
    "startup": lambda pool: {"startup": f"{pool.startup_timeout_s} s"},
    "drain": lambda pool: {"drain": f"{pool.drain_s} s"},
    "cache": lambda pool: {"cache medium": pool.cache_medium or NONE},
}
"""What spec, profile and settings came to, by the section of a profile that has a say in it."""

ANSWERED = frozenset(
    {
        "rendering",
        "profile",
        "fetch_image",
        "default_engine",
        "default_versions",
        "default_accelerator",
        "images",
        "startup_timeout_s",
        "drain_s",
        "cache_medium",
    }
)
"""Inputs whose effect is told otherwise; that of all others is told by their name."""


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in {**before, **after}:
        former, present = before.get(name, NONE), after.get(name, NONE)
        if former == present:
            continue
        if UNTOLD.match(name):
            yield name
        else:
            yield f"{name} {former} -> {_shortened(present, former)}"


def _shortened(present: str, former: str) -> str:
    """Of an image whose repository stays, only the tag is news."""
    repository, colon, tag = present.rpartition(":")
    return tag if colon and former.startswith(f"{repository}:") and "/" not in tag else present


def _differing_settings(before: Pool, after: Pool) -> Iterator[str]:
    told_already = {
        *ANSWERED,
        # A record has the row of its own accelerator alone: that it is another one is an answer.
        *(["accelerators"] if before.accelerator.type != after.accelerator.type else []),
        # Not every model is fetched through the proxy of the settings.
        *(["fetch_proxy"] if fetch_container.proxy(before) == fetch_container.proxy(after) else []),
    }
    for name in TemplateInputs.model_fields:
        if name not in told_already:
            yield from _differing(getattr(before.inputs, name), getattr(after.inputs, name), name)


def _differing(before: object, after: object, path: str) -> Iterator[str]:
    """The innermost differing values below ``path``."""
    former, present = _parts(before), _parts(after)
    if former is present is None:
        if before != after:
            yield f"{path} {_shown(before)} -> {_shown(after)}"
        return
    former, present = former or {}, present or {}
    for name in {**former, **present}:
        yield from _differing(former.get(name), present.get(name), f"{path}.{name}")


def _parts(value: object) -> Mapping[str, object] | None:
    if isinstance(value, BaseModel):
        return dict(value)
    return value if isinstance(value, Mapping) else None


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or NONE
    return NONE if value is None else str(value)
