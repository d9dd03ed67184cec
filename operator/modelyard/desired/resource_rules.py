"""Rules for resources that cannot be overcommitted: extended resources and huge pages.

Kubernetes rejects a Deployment that breaks these rules; checked here, the message names the user's own field. It does
not reject several slices of an accelerator, which no engine can use.
"""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from modelyard.api.inference_service import Resources
from modelyard.api.quantity import number
from modelyard.contract.errors import InvalidError

HUGE_PAGES = "hugepages-"

_MIG_RESOURCE = re.compile(r"nvidia\.com/mig-.+")
_MIG_PRODUCT = re.compile(r".*-MIG-\d+[cg]\..+")
"""How NVIDIA's device plugin and feature discovery name slices: by a resource each (strategy mixed), or by the product
label alone (single). AMD's partitions (amd.com/cpx_nps1 and the like) are devices of their own to a process."""


def check(resources: Resources) -> None:
    """Raises InvalidError (InvalidSpec) with the field and the remedy for amounts that no container can have."""
    for name, amount in resources.requests.items():
        most = resources.limits.get(name)
        if _is_exclusive(name) and (most is None or _amount("limits", name, most) != _amount("requests", name, amount)):
            raise InvalidError(
                "InvalidSpec",
                f"spec.resources.requests contains {name}, which cannot be overcommitted: move it to "
                "spec.resources.limits, or set the same amount there.",
            )
    for name, amount in resources.limits.items():
        page = number(name.removeprefix(HUGE_PAGES)) if name.startswith(HUGE_PAGES) else 1
        if _is_exclusive(name) and _amount("limits", name, amount) % page:
            raise InvalidError(
                "InvalidSpec", f"spec.resources.limits.{name} is {amount}, but must be a multiple of {page}."
            )
    _check_huge_pages({**resources.requests, **resources.limits})


def check_slices(resource: str, count: int, products: Sequence[str]) -> None:
    """Raises InvalidError (InvalidSpec) for several MIG slices per replica.

    ``products`` are values of the label in which nodes name their accelerators.
    """
    slices = [name for name in products if _MIG_PRODUCT.fullmatch(name)]
    if _MIG_RESOURCE.fullmatch(resource):
        slices.append(resource)
    if slices and count > 1:
        # CUDA enumerates a single MIG instance, and there is no peer-to-peer traffic between them (NVIDIA's MIG User
        # Guide, "CUDA Device Enumeration" and "Application Considerations").
        raise InvalidError(
            "InvalidSpec",
            f"spec.accelerator.count is {count}, but {', '.join(slices)} is a MIG slice: a process can use only one "
            "slice, and slices cannot exchange data. Set spec.accelerator.count to 1 and choose a larger slice, or use "
            "whole GPUs.",
        )


def _amount(field: str, name: str, amount: int | str) -> Fraction:
    try:
        return number(amount)
    except InvalidError as error:
        raise InvalidError("InvalidSpec", f"spec.resources.{field}.{name}: {error.message}") from error


def _check_huge_pages(amounts: Mapping[str, int | str]) -> None:
    if any(name.startswith(HUGE_PAGES) for name in amounts) and not {"cpu", "memory"} & amounts.keys():
        raise InvalidError("InvalidSpec", "spec.resources has huge pages only: Kubernetes also requires cpu or memory.")


def _is_exclusive(name: str) -> bool:
    return "/" in name or name.startswith(HUGE_PAGES)
