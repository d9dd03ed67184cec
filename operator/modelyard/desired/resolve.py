"""Resolves a spec's names against its profile, the settings, the registries and a Deployment's record."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from modelyard.api.devices import DeviceRequest
from modelyard.api.inference_service import InferenceServiceSpec
from modelyard.api.service import Object, Service
from modelyard.api.settings import Settings
from modelyard.contract.errors import InvalidError
from modelyard.desired import pod, resource_rules
from modelyard.desired.profile_defaults import ProfileLookup, fields_in_message, taken, with_defaults
from modelyard.desired.replicas import check_scaling, replicas_by_pool
from modelyard.desired.resolved import Accelerator, Pool, Resolved
from modelyard.desired.template_record import AppliedProfile, Recorded, TemplateInputs
from modelyard.integrations.engines import ENGINES, engine_of
from modelyard.integrations.engines.base import Engine
from modelyard.integrations.engines.version import EngineVersion, is_same_version
from modelyard.integrations.sources import source_of


class Share(NamedTuple):
    """A pool's name and its part of the service's replicas."""

    pool: str
    replicas: int


def resolve(
    service: Service,
    settings: Settings,
    recorded: Mapping[str, Recorded] = MappingProxyType({}),
    profile: ProfileLookup | None = None,
    *,
    split: Mapping[str, int] | None = None,
) -> Resolved:
    """The service with every open question answered, each pool's from its Deployment's record or else from profile and
    settings. ``recorded`` are the records by pool, ``split`` the replicas by pool (unset: replicas_by_pool of a
    service that runs nowhere yet).

    * recorded, and the spec with the record gives the recorded template: the record, whatever else has changed
    * the refresh annotation has a new value, or the user names another profile: profile and settings
    * no record, or another template (the spec changed): profile and settings
    * anything but the template changed (replicas, a settings row that is gone, a deleted profile): still the record

    Raises InvalidError with a reason and a message for people. What it returns can be rendered without an error.
    """
    check_scaling(service.spec, settings)
    pools: list[Pool] = []
    templates: dict[str, Object] = {}
    for name, replicas in (split or replicas_by_pool(service, {})).items():
        share = Share(name, replicas)
        pool, templates[name] = _resolved_pool(service, share, settings, recorded.get(name), profile)
        pools.append(pool)
    return Resolved(tuple(pools), templates, settings.operator_namespace)


def _resolved_pool(
    service: Service, share: Share, settings: Settings, recorded: Recorded | None, profile: ProfileLookup | None
) -> tuple[Pool, Object]:
    """The pool and its pod template."""
    if kept := _kept(service, share, recorded, profile):
        return kept
    refresh = service.refresh or (recorded.refresh if recorded else None)
    pool = resolved_anew(service, share, settings, profile, refresh)
    return pool, checked_template(pool)


def resolved_anew(
    service: Service, share: Share, settings: Settings, profile: ProfileLookup | None, refresh: str | None
) -> Pool:
    """A pool of the service with every open question answered as of today, ``refresh`` being the annotation that this
    answers to.

    Raises InvalidError with a reason and a message for people; checked_template may raise one more.
    """
    applied = taken(profile, service.spec) if profile else None
    with _naming(applied):
        return _answered(service, share, TemplateInputs.of(settings, applied), refresh)


def checked_template(pool: Pool) -> Object:
    """The pod template. Raises InvalidError for what only an engine or a source can know to be wrong."""
    with _naming(pool.inputs.profile):
        return pod.template(pool)


@contextmanager
def _naming(profile: AppliedProfile | None) -> Iterator[None]:
    """Errors name the spec's fields; this adds which of these come from the profile."""
    try:
        yield
    except InvalidError as error:
        if profile is None or not (fields := fields_in_message(profile.defaults, error.message)):
            raise
        raise InvalidError(error.reason, f"{error.message} Profile {profile.name} sets {', '.join(fields)}.") from error


def _kept(
    service: Service, share: Share, recorded: Recorded | None, profile: ProfileLookup | None
) -> tuple[Pool, Object] | None:
    """The pool by its record and its template, if that still is the one that is recorded.

    The refresh annotation is compared only where there is one: a file applied without it takes nothing back.
    """
    if recorded is None or (service.refresh is not None and service.refresh != recorded.refresh):
        return None
    if service.spec.profile != recorded.spec_profile and _name(profile) != _name(recorded.inputs.profile):
        return None
    try:
        pool = _answered(service, share, recorded.inputs, recorded.refresh)
        template = pod.template(pool)
        return (pool, template) if pod.template_hash(template) == recorded.template_hash else None
    except InvalidError:
        # The record lacks what the spec needs now, or the spec is wrong: either way the settings apply.
        return None


def _name(profile: ProfileLookup | AppliedProfile | None) -> str | None:
    return profile.name if profile else None


def _answered(service: Service, share: Share, inputs: TemplateInputs, refresh: str | None) -> Pool:
    if inputs.profile:
        service = replace(service, spec=with_defaults(service.spec, inputs.profile.defaults))
    spec = service.spec
    engine = _engine(spec, inputs)
    accelerator = _accelerator(spec, inputs)
    resource_rules.check(spec.resources)
    version, image = _image(spec, inputs, engine, accelerator.type)
    return Pool(
        name=share.pool,
        replicas=share.replicas,
        service=service,
        inputs=inputs.used_by(
            engine.name, image, accelerator.type, products_are_chosen=bool(accelerator.devices.products)
        ),
        refresh=refresh,
        engine=engine,
        version=version,
        image=image,
        accelerator=accelerator,
        source=source_of(spec.model.uri),
        startup_timeout_s=spec.startup.timeout_seconds or inputs.startup_timeout_s,
        drain_s=spec.drain.timeout_seconds or inputs.drain_s,
    )


def _engine(spec: InferenceServiceSpec, inputs: TemplateInputs) -> Engine:
    """The engine, once nothing is set that it does not read."""
    engine = engine_of(spec.engine.type or inputs.default_engine)
    for other in ENGINES.keys() - {engine.name}:
        if getattr(spec.engine, other, None) is not None:
            raise InvalidError(
                "InvalidSpec",
                f"spec.engine.{other} is only valid for the engine {other}, but this service uses {engine.name}: "
                f"remove it, or set spec.engine.type to {other}.",
            )
    if not engine.takes_names and (fields := [f for f in ("name", "aliases") if getattr(spec.model, f)]):
        raise InvalidError(
            "InvalidSpec",
            f"spec.model.{' and spec.model.'.join(fields)} have no effect with {engine.name}, where requests use the "
            "names of the models' folders: remove them.",
        )
    return engine


def _accelerator(spec: InferenceServiceSpec, inputs: TemplateInputs) -> Accelerator:
    name = spec.accelerator.type or inputs.default_accelerator
    if name not in inputs.accelerators:
        known = ", ".join(sorted(inputs.accelerators))
        raise InvalidError(
            "UnknownAccelerator",
            f"spec.accelerator.type {name!r} is not in the operator's settings, which have {known}. "
            "Use one of these, or have the type added to the setting accelerators.",
        )
    row = inputs.accelerators[name]
    _refuse_accelerators_among_resources(spec, inputs)
    products = tuple(spec.accelerator.product)
    if products and row.product_label is None:
        raise InvalidError(
            "InvalidSpec",
            f"spec.accelerator.product is not supported: the operator's settings have no product label for {name}. "
            f"Remove it, or have the setting accelerators.{name}.product_label added.",
        )
    label = row.product_label if products else None
    if row.resource is not None:
        resource, count = spec.accelerator.resource or row.resource, spec.accelerator.count or 1
        resource_rules.check_slices(resource, count, products)
        return Accelerator(name, row.taints, DeviceRequest(resource, count, products, label))
    if spec.accelerator.resource or spec.accelerator.count:
        raise InvalidError(
            "InvalidSpec",
            f"spec.accelerator requests accelerators, but type {name} has none: it runs on CPU cores. "
            "Remove count and resource, or set spec.accelerator.type.",
        )
    return Accelerator(name, row.taints, DeviceRequest(products=products, product_label=label))


def _refuse_accelerators_among_resources(spec: InferenceServiceSpec, inputs: TemplateInputs) -> None:
    """Accelerators in two places could be of two kinds, or of a number that the engine is not started with."""
    known = {row.resource for row in inputs.accelerators.values()} | {spec.accelerator.resource}
    for resource in (*spec.resources.requests, *spec.resources.limits):
        if resource in known:
            raise InvalidError(
                "InvalidSpec",
                f"spec.resources contains {resource}, which spec.accelerator requests: remove it there, and set "
                "spec.accelerator.type and spec.accelerator.count.",
            )


def _image(
    spec: InferenceServiceSpec, inputs: TemplateInputs, engine: Engine, accelerator: str
) -> tuple[EngineVersion, str]:
    """The engine's version and image: the user's image, else the settings' row for what the user requests.

    The version of a user's image is the user's, else its tag's if the engine's own project published the image.
    """
    version = spec.engine.version
    if spec.engine.image:
        image = spec.engine.image
        return EngineVersion.parse(version) if version else EngineVersion.of_image(image, engine.published), image
    wanted = version or inputs.default_versions.get(engine.name)
    for row in inputs.images:
        if (
            (row.engine, row.accelerator) == (engine.name, accelerator)
            and wanted
            and is_same_version(row.version, wanted)
        ):
            return EngineVersion.parse(row.version), row.image
    raise InvalidError("NoEngineImage", _no_image(inputs, engine.name, wanted, accelerator))


def _no_image(inputs: TemplateInputs, engine: str, wanted: str | None, accelerator: str) -> str:
    rows = sorted(f"{row.version} on {row.accelerator}" for row in inputs.images if row.engine == engine)
    return (
        f"the operator's settings have no image for {engine} {wanted or '(no default version)'} on {accelerator}; "
        f"they have {engine} {', '.join(rows) or 'in no version'}. "
        "Use one of these in spec.engine.version and spec.accelerator.type, or set spec.engine.image."
    )
