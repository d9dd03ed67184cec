"""Where a model is kept on its way to the engine, as a user or a platform team writes it."""

from pydantic import ConfigDict, Field

from modelyard.api.fields import ApiModel, WantedLabels, rule, with_rules
from modelyard.contract import names

MEDIUM = (
    f"{names.MEDIUM_NODE_LOCAL}: in the node's cache, where all pods of the namespace find it, also the next ones. "
    f"{names.MEDIUM_EPHEMERAL}: in a volume of the pod's own, which ends with it."
)


class CacheDefaults(ApiModel):
    """What a profile may say of the cache."""

    medium: names.Medium | None = Field(
        default=None, description=f"{MEDIUM} Unset: from the operator's setting cache_medium."
    )


class Cache(ApiModel):
    """Where the model is kept, and which nodes are to have it ahead of the pods."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                f"!(has(self.medium) && self.medium == '{names.MEDIUM_EPHEMERAL}'"
                " && (has(self.prefetch) || has(self.prefetchNodeSelector)))",
                "cache.prefetch and cache.prefetchNodeSelector bring the model to the cache of nodes: "
                f"set cache.medium to {names.MEDIUM_NODE_LOCAL}, or remove them",
            )
        )
    )

    medium: names.Medium | None = Field(
        default=None,
        description=f"{MEDIUM} Unset: from the profile, else from the operator's settings ({names.MEDIUM_EPHEMERAL}).",
    )
    prefetch: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="On how many nodes the model and the images of its pods shall be ahead of the pods. "
        "Unset: on all that prefetchNodeSelector names, else on none.",
    )
    prefetch_node_selector: WantedLabels = Field(
        default={}, description="Labels of the nodes to prefetch on. Unset: any node that the pods may run on."
    )


CACHE_RULE = rule(
    "!self.model.uri.startsWith('pvc://') || !has(self.cache)"
    " || !(has(self.cache.prefetch) || has(self.cache.prefetchNodeSelector))",
    "cache.prefetch and cache.prefetchNodeSelector mean nothing for a pvc:// model, which is mounted where it lies: "
    "remove them",
    field_path=".cache",
)
"""Rule of the spec as a whole."""
