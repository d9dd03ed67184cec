"""Which profile a service is to have, what it gives, and what it forbids.

A user's value wins over the profile's, field by field, and a profile's over the settings'. What belongs to one engine
or one accelerator is not given to a service that names another.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from modelyard.api.fields import ApiModel
from modelyard.api.inference_service import Accelerator, Engine, InferenceServiceSpec, Resources
from modelyard.api.profile import ProfileDefaults, ProfileEngine, ServingProfileSpec
from modelyard.api.service import Object, Service, problems
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.desired.template_record import AppliedProfile

M = TypeVar("M", bound=ApiModel)

SPEC_FIELD = re.compile(r"\bspec\.([A-Za-z.]*[A-Za-z])")


@dataclass(frozen=True)
class ProfileRef:
    """The name of a service's profile, and its source."""

    name: str
    named_by: str


@dataclass(frozen=True)
class ProfileLookup:
    """What there is for the name at present: the profile's object, None without one, and the names of all profiles."""

    named: ProfileRef
    body: Object | None
    known: tuple[str, ...]

    @property
    def name(self) -> str:
        """The profile's name."""
        return self.named.name


def named(service: Service, namespace: Object | None, settings: Settings) -> ProfileRef | None:
    """The name of the profile for ``service``: its spec's, its namespace's label, or the setting; None without any.

    ``namespace`` is None where it has no such label.
    """
    label = ((namespace or {}).get("metadata", {}).get("labels") or {}).get(names.LABEL_PROFILE)
    words = (
        ("spec.profile", service.spec.profile),
        (f"the label {names.LABEL_PROFILE} of namespace {service.key.namespace}", label),
        ("the operator's setting default_profile", settings.default_profile),
    )
    return next((ProfileRef(name, named_by) for named_by, name in words if name), None)


def taken(offer: ProfileLookup, spec: InferenceServiceSpec) -> AppliedProfile:
    """The profile as it is now, for a service with this ``spec``.

    Raises InvalidError: UnknownProfile, InvalidProfile, or PodTemplateFieldForbidden.
    """
    if offer.body is None:
        known = ", ".join(sorted(offer.known)) or "none"
        raise InvalidError(
            "UnknownProfile",
            f"{offer.named.named_by} names profile {offer.name!r}, which does not exist. "
            f"Use one of the existing profiles ({known}), or have it created.",
        )
    try:
        profile = ServingProfileSpec.model_validate(offer.body.get("spec") or {})
    except ValidationError as error:
        raise InvalidError(
            "InvalidProfile",
            f"profile {offer.name} is invalid: {problems(error)}. "
            "Have it corrected, or install the CRDs of this operator's version (crds/).",
        ) from error
    written = spec.model_dump(by_alias=True, exclude_defaults=True, include={"pod_template"})
    _refuse_forbidden(offer.name, written.get("podTemplate"), profile.forbid)
    given = {name: getattr(profile, name) for name in ProfileDefaults.model_fields}
    return AppliedProfile(name=offer.name, defaults=ProfileDefaults.model_construct(**given))


def with_defaults(spec: InferenceServiceSpec, profile: ProfileDefaults) -> InferenceServiceSpec:
    """``spec`` with what it leaves unset from ``profile``."""
    same_accelerator = _agree(spec.accelerator.type, profile.accelerator.type)
    return spec.model_copy(
        update={
            "engine": _engine(spec.engine, profile.engine, same_accelerator=same_accelerator),
            "accelerator": _filled(spec.accelerator, profile.accelerator if same_accelerator else Accelerator()),
            "resources": _resources(spec.resources, profile.resources),
            "startup": _filled(spec.startup, profile.startup),
            "drain": _filled(spec.drain, profile.drain),
            "cache": spec.cache.model_copy(update={"medium": spec.cache.medium or profile.cache.medium}),
        }
    )


def fields_in_message(profile: ProfileDefaults, message: str) -> list[str]:
    """Those of the fields that ``profile`` sets, such as engine.args, that ``message`` names, as spec.engine.args."""
    spoken_of = SPEC_FIELD.findall(message)
    written = profile.model_dump(by_alias=True, exclude_defaults=True)
    fields = [f"{section}.{field}" for section, fields in written.items() for field in fields]
    return [field for field in fields if any(f"{field}.".startswith(f"{path}.") for path in spoken_of)]


def used_fields(content: Any, paths: Iterable[str]) -> list[str]:
    """Those of the dotted ``paths`` that lead to something in ``content``; a list counts as all of its elements."""
    return [path for path in paths if _leads_to_something(content, path.split("."))]


def _leads_to_something(content: Any, steps: Sequence[str]) -> bool:
    if not steps:
        return content is not None
    if isinstance(content, list):
        return any(_leads_to_something(element, steps) for element in content)
    return isinstance(content, dict) and steps[0] in content and _leads_to_something(content[steps[0]], steps[1:])


def _refuse_forbidden(profile: str, pod_template: Object | None, forbidden: Sequence[str]) -> None:
    if used := used_fields(pod_template, forbidden):
        raise InvalidError(
            "PodTemplateFieldForbidden",
            f"profile {profile} forbids {', '.join(used)} in spec.podTemplate. "
            "Remove it, or ask the platform team for another profile.",
        )


def _agree(users: str | None, profiles: str | None) -> bool:
    return users is None or profiles is None or users == profiles


def _filled(users: M, defaults: M) -> M:
    """``users`` with every field that is unset taken from ``defaults``."""
    unset = [name for name in type(users).model_fields if getattr(users, name) in (None, [], {})]
    return users.model_copy(update={name: getattr(defaults, name) for name in unset})


def _engine(users: Engine, defaults: ProfileEngine, *, same_accelerator: bool) -> Engine:
    """The user's engine completed. A version and its image go together, and an image is made for one accelerator."""
    if not _agree(users.type, defaults.type):
        return users
    same_version = users.image is None and users.version in (None, defaults.version)
    given = {variable.name for variable in users.env}
    return users.model_copy(
        update={
            "type": users.type or defaults.type,
            "version": users.version or (defaults.version if same_version else None),
            "image": users.image or (defaults.image if same_version and same_accelerator else None),
            "args": [*_left_over(defaults.args, users.args), *users.args],
            "env": [*(variable for variable in defaults.env if variable.name not in given), *users.env],
        }
    )


def _left_over(defaults: Sequence[str], users: Sequence[str]) -> list[str]:
    """The profile's arguments less those whose flag, or its opposite, the user gives."""
    given = {_flag(argument) for argument in users if argument.startswith("-")}
    return [argument for argument in defaults if _flag(argument) not in given]


def _flag(argument: str) -> str:
    return argument.partition("=")[0].replace("_", "-").lstrip("-").removeprefix("no-")


def _resources(users: Resources, defaults: Resources) -> Resources:
    """Resource by resource: a profile's limit below a user's request would fit no pod."""
    given = users.requests.keys() | users.limits.keys()
    return Resources.model_construct(
        requests={name: v for name, v in defaults.requests.items() if name not in given} | users.requests,
        limits={name: v for name, v in defaults.limits.items() if name not in given} | users.limits,
    )
