"""Amounts of disk as a platform team writes them: bytes, a Kubernetes quantity, or a share of the file system."""

import re
from dataclasses import dataclass
from typing import Self

_UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}
_FORM = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(%|[kMGTP]|[KMGTP]i|)")


@dataclass(frozen=True)
class Amount:
    """A number of bytes, or a share (0 to 1) of something whose size is known later. One of the two is 0."""

    fixed_bytes: int = 0
    share: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """``100Gi``, ``107374182400`` or ``80%``. Raises ValueError for anything else."""
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"{text!r} is no amount: write bytes, a quantity such as 100Gi, or a percentage such as 80%"
            )
        number = float(match[1])
        if match[2] != "%":
            return cls(fixed_bytes=int(number * _UNITS[match[2]]))
        if number > 100:
            raise ValueError(f"{text!r} is more than 100%")
        return cls(share=number / 100)

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
