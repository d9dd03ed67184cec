"""Which products a pod may run on: a condition on the nodes' labels that their discovery writes."""

from modelyard.api.service import Object
from modelyard.desired import node_affinity
from modelyard.desired.resolved import Accelerator


def require(spec: Object, accelerator: Accelerator) -> None:
    """Add to the pod's ``spec``, in place, that its node must have one of the accelerator's products, if any is asked.

    Raises InvalidError as node_affinity.require.
    """
    if accelerator.products:
        condition = {"key": accelerator.product_label, "operator": "In", "values": list(accelerator.products)}
        node_affinity.require(spec, condition)
