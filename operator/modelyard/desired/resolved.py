"""A service and its pools with every open question answered: what the builders of children work from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelyard.api.devices import DeviceRequest
from modelyard.api.kinds import Kind
from modelyard.api.service import Object, Service
from modelyard.api.status import Effective
from modelyard.contract import names
from modelyard.desired.template_record import TemplateInputs
from modelyard.integrations.engines.base import Engine
from modelyard.integrations.engines.version import EngineVersion
from modelyard.integrations.sources.base import Source


@dataclass(frozen=True)
class Accelerator:
    """What each replica computes on: a row of the settings by its ``type``, and what is requested of it."""

    type: str
    taints: tuple[str, ...]
    devices: DeviceRequest


@dataclass(frozen=True)
class Pool:
    """One Deployment of a service with every question about its pods answered, from the spec where it gives an answer,
    else from ``inputs``.

    ``service`` has the profile's defaults in its spec already, where the user left something unset.
    ``refresh`` is the refresh annotation's value that ``inputs`` answer to, None before there ever was one.
    """

    name: str
    replicas: int
    service: Service
    inputs: TemplateInputs
    refresh: str | None
    engine: Engine
    version: EngineVersion
    image: str
    accelerator: Accelerator
    source: Source
    startup_timeout_s: int
    drain_s: int

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names that requests may give for the model, its own first."""
        return tuple(dict.fromkeys((self.service.model_name, *self.service.spec.model.aliases)))

    @property
    def cache_medium(self) -> names.Medium | None:
        """Where the model is kept; None for one that is not fetched but mounted where it lies."""
        spec = self.service.spec
        if self.source.parts(spec.model).mount:
            return None
        return spec.cache.medium or self.inputs.cache_medium

    @property
    def is_node_local(self) -> bool:
        """The model is kept in the nodes' caches, which modelyard-node serves."""
        return self.cache_medium == names.MEDIUM_NODE_LOCAL

    def effective(self) -> Effective:
        """The answers as ``status.effective`` reports them."""
        return Effective(
            profile=self.inputs.profile.name if self.inputs.profile else None,
            engine_type=self.engine.name,
            engine_version=str(self.version),
            engine_image=self.image,
            accelerator_type=self.accelerator.type,
            accelerator_count=self.accelerator.devices.count,
            accelerator_resource=self.accelerator.devices.resource,
            accelerator_product_label=self.accelerator.devices.product_label,
            fetch_image=self.inputs.fetch_image,
            cache_medium=self.cache_medium,
            startup_timeout_seconds=self.startup_timeout_s,
            drain_timeout_seconds=self.drain_s,
        )


@dataclass(frozen=True)
class Resolved:
    """A service with every open question answered: its ``pools``, at least one, the default one first.

    ``templates`` are the pools' pod templates by name, rendered once. ``operator_namespace`` is where the operator's
    own pods are, None outside a cluster.

    ``contents`` are the digests of what its revisions were served with so far, by content_pin.key. ``absent_kinds`` are
    the optional kinds that the cluster lacks: no child of them is built, and a builder may choose another kind instead.
    Neither ever enters a pod template.
    """

    pools: tuple[Pool, ...]
    templates: Mapping[str, Object]
    operator_namespace: str | None = None
    contents: Mapping[str, str] = field(default_factory=dict)
    absent_kinds: frozenset[Kind] = frozenset()

    @property
    def lead(self) -> Pool:
        """The pool whose answers hold for what the service has once: its Service, its budget, its effective values."""
        return self.pools[0]

    @property
    def service(self) -> Service:
        """The service, with the lead pool's profile in its spec."""
        return self.lead.service
