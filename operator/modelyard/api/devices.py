"""The devices that each replica of a service computes on, as every part of the operator passes them on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceRequest:
    """``count`` of the extended resource ``resource``: None and 0 for the processor's own cores.

    Where ``products`` are named, the node must have one of them in its label ``product_label``. A device claim
    (Kubernetes' dynamic resource allocation) would be one more field here, in place of ``resource`` and ``count``.
    """

    resource: str | None = None
    count: int = 0
    products: tuple[str, ...] = ()
    product_label: str | None = None
