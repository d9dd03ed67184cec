"""Where a model is cached: the fields of an InferenceService and of a ServingProfile."""

from pydantic import ConfigDict, Field

from modelyard.api.fields import ApiModel, WantedLabels, rule, with_rules
from modelyard.contract import names

MEDIUM = (
    f"{names.MEDIUM_NODE_LOCAL}: in the node's cache, shared by the namespace's current and future pods. "
    f"{names.MEDIUM_EPHEMERAL}: in a volume that is deleted with the pod."
)


class CacheDefaults(ApiModel):
    """Defaults for the model cache."""

    medium: names.Medium | None = Field(
        default=None, description=f"{MEDIUM} Defaults to the operator's setting cache_medium."
    )


class Cache(ApiModel):
    """Where the model is cached, and on which nodes in advance."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                f"!(has(self.medium) && self.medium == '{names.MEDIUM_EPHEMERAL}'"
                " && (has(self.prefetch) || has(self.prefetchNodeSelector)))",
                "cache.prefetch and cache.prefetchNodeSelector require the nodes' cache: "
                f"set cache.medium to {names.MEDIUM_NODE_LOCAL}, or remove them",
            )
        )
    )

    medium: names.Medium | None = Field(
        default=None,
        description=f"{MEDIUM} Defaults to the profile's, then to the operator's setting ({names.MEDIUM_EPHEMERAL}).",
    )
    prefetch: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Number of nodes on which to prefetch the model and the pods' images. "
        "Defaults to all nodes that prefetchNodeSelector matches; without a selector, to none.",
    )
    prefetch_node_selector: WantedLabels = Field(
        default={}, description="Labels of the nodes to prefetch on. Defaults to any node that the pods can run on."
    )

    @property
    def prefetches(self) -> bool:
        """Whether nodes should get the model ahead of the pods."""
        return self.prefetch is not None or bool(self.prefetch_node_selector)


CACHE_RULE = rule(
    "!self.model.uri.startsWith('pvc://') || !has(self.cache)"
    " || !(has(self.cache.prefetch) || has(self.cache.prefetchNodeSelector))",
    "cache.prefetch and cache.prefetchNodeSelector have no effect with a pvc:// model, which is mounted and not "
    "fetched: remove them",
    field_path=".cache",
)
"""Rule on the spec as a whole."""
