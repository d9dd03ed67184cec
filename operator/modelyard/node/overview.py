"""What the cache holds at one moment, in plain figures."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.node.budget import Holding, Limits


@dataclass(frozen=True)
class Disk:
    """The file system that the cache is on; ``free_bytes`` is what others than root may still write."""

    capacity_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Overview:
    """One look at everything. Names and contents are by namespace UID."""

    limits: Limits
    disk: Disk
    names: Mapping[str, str]
    holdings: tuple[Holding, ...]
