"""Clients of a service: peers as in a NetworkPolicy, bounded, with the validation of a NetworkPolicy as CEL rules."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelyard.api.fields import ApiModel, LabelKey, LabelValue, WantedLabels, rule, with_rules

Cidr = Annotated[
    str,
    StringConstraints(max_length=43),
    Field(json_schema_extra=with_rules(rule("isCIDR(self)", "must be a CIDR, such as 10.0.0.0/8"))),
]


class LabelRequirement(ApiModel):
    """A label selector requirement, as in any Kubernetes selector."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "self.operator in ['In', 'NotIn'] == (has(self.values) && self.values.size() > 0)",
                "In and NotIn require values; Exists and DoesNotExist must have none",
            )
        )
    )

    key: LabelKey = Field(description="Label key that the requirement applies to.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How the values are compared.")
    values: list[LabelValue] = Field(
        default=[],
        max_length=16,
        description="Values to compare with. Required for In and NotIn, forbidden for Exists and DoesNotExist.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class LabelSelector(ApiModel):
    """Label selector. All requirements must match; an empty selector matches everything."""

    match_labels: WantedLabels = Field(default={}, description="Labels to match by key and value.")
    match_expressions: list[LabelRequirement] = Field(
        default=[],
        max_length=8,
        description="Label selector requirements.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class IpBlock(ApiModel):
    """A range of IP addresses."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!has(self.except) || self.except.all(part, !isCIDR(self.cidr) || !isCIDR(part)"
                " || (cidr(self.cidr).containsCIDR(part)"
                " && cidr(self.cidr).prefixLength() < cidr(part).prefixLength()))",
                "ipBlock.except must be a smaller range within ipBlock.cidr",
            )
        )
    )

    cidr: Cidr = Field(description="Range of addresses, such as 10.0.0.0/8.")
    except_: list[Cidr] = Field(
        default=[],
        alias="except",
        max_length=16,
        description="Ranges within cidr to exclude.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class NetworkPeer(ApiModel):
    """A peer: pods, or a range of IP addresses."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "has(self.ipBlock) != (has(self.namespaceSelector) || has(self.podSelector))",
                "a peer must have either ipBlock, or namespaceSelector, podSelector or both",
            )
        )
    )

    namespace_selector: LabelSelector | None = Field(
        default=None,
        description="Selects the pods' namespaces by label; {} selects all namespaces. Defaults to this namespace.",
    )
    pod_selector: LabelSelector | None = Field(
        default=None, description="Selects pods by label. Defaults to all pods in the selected namespaces."
    )
    ip_block: IpBlock | None = Field(default=None, description="Range of IP addresses, instead of pods.")


class NetworkPolicy(ApiModel):
    """Clients that may connect to the pods, in clusters that enforce NetworkPolicies."""

    from_: list[NetworkPeer] = Field(
        alias="from",
        max_length=16,
        description="Peers that may connect to the pods; [] allows none. The operator and the kubelet's probes are "
        "always allowed.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
