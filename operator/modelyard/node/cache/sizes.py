"""Sizes on disk as a platform team writes them: bytes, a Kubernetes quantity, or a share of the file system."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from modelyard.contract import quantity

_LARGEST_BYTES = 2**62
_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%")


@dataclass(frozen=True)
class SizeOrShare:
    """A number of bytes, or a share (0 to 1) of something whose size is known later. One of the two is 0."""

    fixed_bytes: int = 0
    share: Fraction = Fraction(0)

    @classmethod
    def parse(cls, text: str) -> Self:
        """``100Gi``, ``107374182400`` or ``80%``. Raises ValueError for anything else."""
        if match := _PERCENTAGE.fullmatch(text.strip()):
            share = Fraction(match[1]) / 100
            if share > 1:
                raise ValueError(f"{text!r} is more than 100%")
            return cls(share=share)
        try:
            size = quantity.parse(text)
        except ValueError as error:
            raise ValueError(
                f"{text!r} is not a size: write bytes, a quantity such as 100Gi, or a percentage such as 80%"
            ) from error
        if not 0 <= size < _LARGEST_BYTES:
            raise ValueError(f"{text!r} is not the size of a disk")
        return cls(fixed_bytes=quantity.whole(size))

    def of(self, whole_bytes: int) -> int:
        """The bytes, where ``whole_bytes`` is what shares are shares of."""
        return self.fixed_bytes + int(self.share * whole_bytes)


def readable(size_bytes: int) -> str:
    """The size for a person: ``13.5 GiB``."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
