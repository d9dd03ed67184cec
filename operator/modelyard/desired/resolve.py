"""Names become things: the one place where a spec meets the settings, the registries and a Deployment's record."""

from dataclasses import replace

from modelyard.api.service import Service
from modelyard.api.types import InferenceServiceSpec
from modelyard.desired import amounts, pod
from modelyard.desired.inputs import Recorded, TemplateInputs
from modelyard.desired.resolved import Accelerator, Resolved
from modelyard.engines import engine_of
from modelyard.engines.version import EngineVersion
from modelyard.errors import InvalidError
from modelyard.settings import Settings
from modelyard.sources import source_of


def resolve(service: Service, settings: Settings, recorded: Recorded | None) -> Resolved:
    """The service with every open question answered, from its Deployment's record or else from the settings.

    * recorded, and the spec with the record gives the recorded template: the record, whatever the settings say by now
    * the refresh annotation has a new value: the settings
    * no record, or another template (the spec changed): the settings
    * anything but the template changed (replicas, a settings row that is gone): still the record

    Raises InvalidError with a reason and a message for people. What it returns can be rendered without an error.
    """
    resolved = _kept(service, recorded)
    if resolved is None:
        refresh = service.refresh or (recorded.refresh if recorded else None)
        resolved = _answered(service, TemplateInputs.of(settings), refresh)
        pod.template(resolved)
    return replace(resolved, operator_namespace=settings.operator_namespace)


def _kept(service: Service, recorded: Recorded | None) -> Resolved | None:
    """The service by its record, if that still gives the template that is recorded.

    The refresh annotation is compared only where there is one: a file applied without it takes nothing back.
    """
    if recorded is None or (service.refresh is not None and service.refresh != recorded.refresh):
        return None
    try:
        resolved = _answered(service, recorded.inputs, recorded.refresh)
        return resolved if pod.template_hash(pod.template(resolved)) == recorded.template_hash else None
    except InvalidError:
        # The record has no answer to what the spec asks now, or the spec is wrong: the settings' turn either way.
        return None


def _answered(service: Service, inputs: TemplateInputs, refresh: str | None) -> Resolved:
    spec = service.spec
    engine = engine_of(spec.engine.type or inputs.default_engine)
    accelerator = _accelerator(spec, inputs)
    amounts.check(spec.resources)
    version, image = _image(spec, inputs, engine.name, accelerator.type)
    return Resolved(
        service=service,
        inputs=inputs.used_by(engine.name, image, accelerator.type),
        refresh=refresh,
        engine=engine,
        version=version,
        image=image,
        accelerator=accelerator,
        source=source_of(spec.model.uri),
        startup_timeout_s=spec.startup.timeout_seconds or inputs.startup_timeout_s,
        drain_s=spec.drain.timeout_seconds or inputs.drain_s,
    )


def _accelerator(spec: InferenceServiceSpec, inputs: TemplateInputs) -> Accelerator:
    name = spec.accelerator.type or inputs.default_accelerator
    if name not in inputs.accelerators:
        known = ", ".join(sorted(inputs.accelerators))
        raise InvalidError(
            "UnknownAccelerator",
            f"spec.accelerator.type {name!r} is none of the types in the operator's settings: {known}. "
            "Take one of these, or have a row for it added under accelerators in the settings.",
        )
    row = inputs.accelerators[name]
    if row.resource is None:
        return Accelerator(name, None, 0, row.taints)
    resource = spec.accelerator.resource or row.resource
    if resource in spec.resources.requests or resource in spec.resources.limits:
        raise InvalidError(
            "InvalidSpec",
            f"spec.resources holds {resource}, which spec.accelerator.count asks for: "
            "remove it there and set accelerator.count.",
        )
    return Accelerator(name, resource, spec.accelerator.count or 1, row.taints)


def _image(
    spec: InferenceServiceSpec, inputs: TemplateInputs, engine: str, accelerator: str
) -> tuple[EngineVersion, str]:
    """The engine's version and image: the user's image, else the settings' row for what the user asks.

    The version of a user's image is what the user says, else what its tag says.
    """
    said = spec.engine.version
    if spec.engine.image:
        image = spec.engine.image
        return EngineVersion.parse(said) if said else EngineVersion.of_image(image), image
    wanted = said or inputs.default_versions.get(engine)
    for row in inputs.images:
        if (row.engine, row.version, row.accelerator) == (engine, wanted, accelerator):
            return EngineVersion.parse(row.version), row.image
    raise InvalidError("NoEngineImage", _no_image(inputs, engine, wanted, accelerator))


def _no_image(inputs: TemplateInputs, engine: str, wanted: str | None, accelerator: str) -> str:
    rows = sorted(f"{row.version} on {row.accelerator}" for row in inputs.images if row.engine == engine)
    return (
        f"the operator's settings name no image for {engine} {wanted or '(no default version)'} on {accelerator}; "
        f"they have {engine} {', '.join(rows) or 'in no version'}. "
        "Take one of these in spec.engine.version and spec.accelerator.type, or name an image in spec.engine.image."
    )
