"""Where engines and sources meet: what each adds to the pod, as plain data.

An engine does not know where a model comes from, a source does not know which engine serves it: an engine gets a
ModelRef, and both return PodParts that desired/pod.py puts together. A source may also set the mount of the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelyard.api.service import Object


@dataclass(frozen=True)
class ModelRef:
    """The model as an engine sees it: a folder in its container, and the names that requests give."""

    path: str
    name: str
    aliases: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class SourceParts:
    """What a source needs in the pod.

    ``fetch`` is what the init container needs. ``mount`` is a model that needs no fetching: the mount that shows it to
    the engine where it lies, as in a container's volumeMounts but without mountPath and readOnly, which are the
    rendering's. None: the init container brings the model into the cache, and the engine sees it there.
    """

    fetch: PodParts
    mount: Object | None = None
