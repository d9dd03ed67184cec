"""Kubernetes quantities as numbers: ``4Gi``, ``500m``, ``1e9``, ``2`` (apimachinery's resource.Quantity)."""

import re
from decimal import Decimal

from modelyard.contract.errors import InvalidError

MULTIPLES = {
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}


_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)([KMGTPE]i|[numkMGTPE])?")
"""Exponents of more digits are no amounts of anything, and cost whoever computes with them."""


def number(quantity: int | str) -> Decimal:
    """The quantity in its base unit (bytes, cores). Raises InvalidError (InvalidSpec) for any other text."""
    match = _FORM.fullmatch(str(quantity))
    if match is None:
        raise InvalidError(
            "InvalidSpec", f"{quantity!r} is not a quantity: write a number with a unit, such as 500m or 4Gi"
        )
    return Decimal(match[1]) * MULTIPLES.get(match[2], Decimal(1))
