"""The NetworkPolicy: who may call the engine, whose control endpoints know no authentication."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired import metadata
from modelyard.desired.resolved import Resolved


def build(resolved: Resolved) -> list[Object]:
    """The policy over all pods of the service, none where the spec does not request one.

    Only what comes in is limited: the fetcher must reach its store. What enforces policies always lets a node reach its
    own pods, so the kubelet's probes need no rule.
    """
    policy = resolved.service.spec.network_policy
    if policy is None:
        return []
    ports = [port.container for port in resolved.lead.engine.ports]
    peers = [peer.model_dump(by_alias=True, exclude_defaults=True) for peer in policy.from_]
    # A rule without peers would allow every client.
    rules = [_rule(peers, ports)] if peers else []
    if resolved.operator_namespace:
        rules.append(_rule([_operator(resolved.operator_namespace)], [*ports, names.FETCH_STATE_PORT]))
    return [
        metadata.child(
            kinds.NETWORK_POLICY,
            resolved.lead,
            content={
                "spec": {
                    "podSelector": _pods(resolved),
                    "policyTypes": ["Ingress"],
                    "ingress": rules,
                }
            },
        )
    ]


def _pods(resolved: Resolved) -> Object:
    """The pods that serve, and those that prefetch where there are such: the operator reads their progress."""
    selector = metadata.service_selector(resolved.service)
    if not resolved.service.spec.cache.prefetches:
        return {"matchLabels": selector}
    component = selector.pop(names.LABEL_APP_COMPONENT)
    either = {"key": names.LABEL_APP_COMPONENT, "operator": "In", "values": [component, names.COMPONENT_PREFETCH]}
    return {"matchLabels": selector, "matchExpressions": [either]}


def _rule(peers: list[Object], ports: list[int]) -> Object:
    return {"from": peers, "ports": [{"protocol": "TCP", "port": port} for port in ports]}


def _operator(namespace: str) -> Object:
    """The operator's pods, by the labels that deploy/ gives them: they read the progress of fetchers and engines."""
    return {
        "namespaceSelector": {"matchLabels": {names.LABEL_NAMESPACE_NAME: namespace}},
        "podSelector": {
            "matchLabels": {
                names.LABEL_APP_NAME: names.APPLICATION,
                names.LABEL_APP_COMPONENT: names.COMPONENT_OPERATOR,
            }
        },
    }
