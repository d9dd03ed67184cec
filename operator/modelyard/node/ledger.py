"""Who was granted how many bytes for which model: what a namespace holds beyond that, it wrote without asking.

A grant lives as long as the connection that asked for it; what was granted for a digest is remembered for as long as
something of that digest is there, over restarts too.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Grant:
    """Room for ``size_bytes`` of one model (the folder's name of its digest), what is staged of it included."""

    namespace: str
    folder: str
    size_bytes: int


@dataclass
class Ledger:
    """Grants that live, and the sizes that were granted: by namespace (UID) and folder. Not thread-safe."""

    live: list[Grant] = field(default_factory=list)
    granted: dict[str, dict[str, int]] = field(default_factory=dict)

    def grant(self, grant: Grant) -> None:
        """Gives it."""
        self.live.append(grant)
        self.granted.setdefault(grant.namespace, {})[grant.folder] = grant.size_bytes

    def release(self, grant: Grant) -> None:
        """Whoever asked for it is through or gone."""
        self.live.remove(grant)

    def is_live(self, namespace: str, folder: str) -> bool:
        """Whether somebody who asked for this model is still there."""
        return any((grant.namespace, grant.folder) == (namespace, folder) for grant in self.live)

    def promised_bytes(self, namespace: str, staged: Mapping[str, int]) -> int:
        """What the namespace may still write; ``staged`` is what it has written, by folder."""
        largest: dict[str, int] = {}
        for grant in self.live:
            if grant.namespace == namespace:
                largest[grant.folder] = max(grant.size_bytes, largest.get(grant.folder, 0))
        return sum(max(0, size_bytes - staged.get(folder, 0)) for folder, size_bytes in largest.items())

    def asked_bytes(self, namespace: str, present: Iterable[tuple[str, int]]) -> int:
        """How much of what is there was asked for; ``present`` has folders and sizes of models."""
        granted = self.granted.get(namespace, {})
        return sum(min(size_bytes, _with_overhead(granted.get(folder, 0))) for folder, size_bytes in present)

    def allowed_bytes(self, namespace: str) -> int:
        """All that the namespace was granted and may still have."""
        return sum(_with_overhead(size_bytes) for size_bytes in self.granted.get(namespace, {}).values())

    def keep_only(self, present: Mapping[str, frozenset[str]]) -> None:
        """Forgets what was granted for models that are gone; ``present`` has the folders by namespace."""
        self.granted = {
            namespace: kept
            for namespace, granted in self.granted.items()
            if (
                kept := {
                    folder: size_bytes
                    for folder, size_bytes in granted.items()
                    if folder in present.get(namespace, frozenset()) or self.is_live(namespace, folder)
                }
            )
        }

    def save(self, path: Path) -> None:
        """Writes what was granted. Raises OSError."""
        new = path.with_suffix(".new")
        with new.open("w") as file:
            json.dump(self.granted, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Ledger | None":
        """What was saved; None where nothing was, or what is there is damaged."""
        try:
            saved = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return cls(
            granted={str(uid): {str(name): int(size) for name, size in sizes.items()} for uid, sizes in saved.items()}
        )


def _with_overhead(size_bytes: int) -> int:
    """Room for the file system's blocks and the fetch's own notes: 1 % and 1 MiB."""
    return size_bytes + size_bytes // 100 + (1 << 20) if size_bytes else 0
