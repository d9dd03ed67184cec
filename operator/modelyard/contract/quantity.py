"""Kubernetes quantities as exact numbers: ``4Gi``, ``500m``, ``1k``, ``2e3``.

The form and its meaning are those of apimachinery's resource.Quantity, whose documentation is the source:
https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity
"""

import math
import re
from fractions import Fraction

SUFFIXES = {
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
}

LARGEST_BINARY = 2**63 - 1
"""A quantity with a binary suffix is capped here, silently; others are not."""

_NANO = 10**9
"""Finer fractions are rounded away from zero, so that no positive request becomes zero."""

_FORM = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE](?P<exponent>[+-]?[0-9]+)|(?P<suffix>[KMGTPE]i|[numkMGTPE])?)"
)
_LENGTH = 64
_LARGEST_EXPONENT = 99
"""Larger numbers are no real amounts, and computing with them is costly. Kubernetes accepts them."""


def parse(value: str | float) -> Fraction:
    """The quantity in its base unit: bytes, cores, devices. Raises ValueError for anything else.

    As Kubernetes does, it reads a number by its digits in JSON and ignores blanks around a text.
    """
    text = str(value).strip()
    match = _FORM.fullmatch(text) if len(text) <= _LENGTH else None
    if match is None or abs(int(match["exponent"] or 0)) > _LARGEST_EXPONENT:
        raise ValueError(f"{text[:_LENGTH]!r} is not a quantity: write a number with a unit, such as 500m or 4Gi")
    exact = Fraction(match["number"]) * Fraction(10) ** int(match["exponent"] or 0)
    suffix = match["suffix"] or ""
    exact *= SUFFIXES.get(suffix, 1)
    size = Fraction(math.ceil(abs(exact) * _NANO), _NANO)
    if suffix.endswith("i"):
        size = min(size, Fraction(LARGEST_BINARY))
    return size if exact >= 0 else -size


def whole(quantity: Fraction) -> int:
    """The whole number that Kubernetes counts a quantity as: rounded away from zero (Quantity.Value)."""
    return math.ceil(quantity) if quantity >= 0 else math.floor(quantity)
