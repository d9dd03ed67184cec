"""Where engines and sources meet: what each adds to the pod, as plain data.

An engine never learns where a model comes from, a source never learns who serves it: an engine is handed a ModelRef,
and both return PodParts that desired/pod.py puts together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelyard.api.service import Object


@dataclass(frozen=True)
class ModelRef:
    """The model as an engine sees it: a folder in its container, and the name that requests give."""

    path: str
    name: str


@dataclass(frozen=True)
class PodParts:
    """What an engine or a source adds to its container (env, mounts) and to the pod (volumes, annotations)."""

    env: tuple[Object, ...] = ()
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: "PodParts") -> "PodParts":
        """These and ``other``'s, in this order."""
        return PodParts(
            self.env + other.env,
            self.volumes + other.volumes,
            self.mounts + other.mounts,
            {**self.annotations, **other.annotations},
        )
