"""Where the node cache's driver runs: the node agents' pods, and what the kubelets list in their CSINode objects."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.observe.facts.raw_object import entries, text, texts


@dataclass(frozen=True)
class Registered:
    """Where the driver runs. ``nodes``: whether on these; ``anywhere``: on any node at all, None where pods of the
    operator's own namespace are not shown to us; ``joined``: when nodes joined the cluster, as far as it is known.
    """

    nodes: Mapping[str, bool]
    anywhere: bool | None
    joined: Mapping[str, datetime] = field(default_factory=dict)


UNKNOWN = Registered({}, None)


def agents(pods: Iterable[Object], namespace: str) -> list[Object]:
    """The node agents among ``pods``: only those in the operator's own ``namespace``, which is trusted."""
    wanted = {names.LABEL_APP_MANAGED_BY: names.APPLICATION, names.LABEL_APP_COMPONENT: names.COMPONENT_NODE}
    return [
        pod
        for pod in pods
        if text(pod, "metadata", "namespace") == namespace
        and wanted.items() <= texts(pod, "metadata", "labels").items()
    ]


def has_driver(csi_node: Object | None) -> bool:
    """Whether the driver is registered on the node of a CSINode object."""
    drivers = entries(csi_node, "spec", "drivers")
    return any(text(driver, "name") == names.CSI_DRIVER for driver in drivers)
