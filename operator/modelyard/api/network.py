"""Who may call a service: peers as in a NetworkPolicy, bounded, and with rules that say what a NetworkPolicy would."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelyard.api.fields import ApiModel, LabelKey, LabelValue, WantedLabels, rule, with_rules

Cidr = Annotated[
    str,
    StringConstraints(max_length=43),
    Field(json_schema_extra=with_rules(rule("isCIDR(self)", "must be a range of addresses, such as 10.0.0.0/8"))),
]


class LabelRequirement(ApiModel):
    """One demand on labels, as in any Kubernetes selector."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "self.operator in ['In', 'NotIn'] == (has(self.values) && self.values.size() > 0)",
                "In and NotIn need values, Exists and DoesNotExist take none",
            )
        )
    )

    key: LabelKey = Field(description="The label's key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How it is compared.")
    values: list[LabelValue] = Field(
        default=[],
        max_length=16,
        description="What it is compared with.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class LabelSelector(ApiModel):
    """Demands on labels, all of which must hold; an empty selector selects everything."""

    match_labels: WantedLabels = Field(default={}, description="Labels with these values.")
    match_expressions: list[LabelRequirement] = Field(
        default=[],
        max_length=8,
        description="Further demands.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class IpBlock(ApiModel):
    """A range of addresses."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!has(self.except) || self.except.all(part, !isCIDR(self.cidr) || !isCIDR(part)"
                " || (cidr(self.cidr).containsCIDR(part)"
                " && cidr(self.cidr).prefixLength() < cidr(part).prefixLength()))",
                "ipBlock.except must lie within ipBlock.cidr and be smaller",
            )
        )
    )

    cidr: Cidr = Field(description="The range, such as 10.0.0.0/8.")
    except_: list[Cidr] = Field(
        default=[],
        alias="except",
        max_length=16,
        description="Parts of it that are left out.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class NetworkPeer(ApiModel):
    """Pods, or a range of addresses."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "has(self.ipBlock) != (has(self.namespaceSelector) || has(self.podSelector))",
                "a peer is either an ipBlock, or pods by namespaceSelector, podSelector or both",
            )
        )
    )

    namespace_selector: LabelSelector | None = Field(
        default=None,
        description="Namespaces of the pods, by their labels; {} is every namespace. Unset: this namespace.",
    )
    pod_selector: LabelSelector | None = Field(
        default=None, description="The pods, by their labels. Unset: every pod of the namespaces."
    )
    ip_block: IpBlock | None = Field(default=None, description="A range of addresses, instead of pods.")


class NetworkPolicy(ApiModel):
    """Who may call the service, where the cluster's network enforces it."""

    from_: list[NetworkPeer] = Field(
        alias="from",
        max_length=16,
        description="Who may call the service; []: nobody. The operator and the node's own probes are let through.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
