"""A service with every open question answered: what the builders of children work from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelyard.api.devices import DeviceRequest
from modelyard.api.prefetch_round import Round
from modelyard.api.service import Service
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
class Resolved:
    """The answers, each from the spec where it gives one, else from ``inputs``.

    ``service`` has the profile's defaults in its spec already, where the user left something unset.
    ``refresh`` is the refresh annotation's value that ``inputs`` answer to, None before there ever was one.
    ``operator_namespace`` is where the operator's own pods are, None outside a cluster. ``contents`` are the digests of
    what its revisions were served with so far, by revision.key; ``round`` is what a Job shall prefetch now, None
    without any. Neither ever enters the pod template.
    """

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
    operator_namespace: str | None = None
    contents: Mapping[str, str] = field(default_factory=dict)
    round: Round | None = None

    @property
    def replicas(self) -> int:
        """Pods that shall exist."""
        return self.service.spec.replicas

    @property
    def prefetches(self) -> bool:
        """Nodes shall have the model ahead of the pods."""
        cache = self.service.spec.cache
        return cache.prefetch is not None or bool(cache.prefetch_node_selector)

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names by which requests may ask for the model, its own first."""
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
        """The answers as ``status.effective`` tells them."""
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
