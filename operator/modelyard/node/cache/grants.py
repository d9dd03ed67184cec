"""The ledger of granted bytes per namespace and model; what a namespace holds beyond them, it wrote without a grant.

A grant lives as long as the connection that requested it. The size granted for a digest is kept for as long as
anything of that digest is there, over restarts too.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.node.cache.contents import Contents


@dataclass(frozen=True)
class Grant:
    """Space for ``size_bytes`` of one model (its digest's folder name), including what is staged of it.

    ``replaces``: a broken entry of the model was there at the time of the request.
    """

    namespace: str
    folder: str
    size_bytes: int
    replaces: bool = False


@dataclass
class Ledger:
    """Grants that live, and the sizes that were granted: by namespace (UID) and folder. Not thread-safe."""

    live: list[Grant] = field(default_factory=list)
    granted: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def adopting(cls, found: Mapping[str, Contents]) -> "Ledger":
        """A new ledger that counts all models present as granted."""
        return cls(granted={namespace: held.staged_bytes() | held.whole_bytes() for namespace, held in found.items()})

    def grant(self, grant: Grant) -> None:
        """Gives it."""
        self.live.append(grant)
        self.granted.setdefault(grant.namespace, {})[grant.folder] = grant.size_bytes

    def release(self, grant: Grant) -> None:
        """Ends the grant: its requester is done or gone."""
        self.live.remove(grant)

    def is_live(self, namespace: str, folder: str) -> bool:
        """Whether a grant for this model is still open."""
        return any((grant.namespace, grant.folder) == (namespace, folder) for grant in self.live)

    def promised_bytes(self, namespace: str, held: Contents) -> dict[str, int]:
        """What the namespace may still write, by folder. Of several pods that requested one model, only one writes."""
        staged, whole = held.staged_bytes(), held.whole_bytes()
        promised: dict[str, int] = {}
        for grant in self.live:
            if grant.namespace == namespace:
                written_bytes = staged.get(grant.folder, 0) + (0 if grant.replaces else whole.get(grant.folder, 0))
                open_bytes = max(0, grant.size_bytes - written_bytes)
                promised[grant.folder] = max(open_bytes, promised.get(grant.folder, 0))
        return promised

    def unasked_bytes(self, namespace: str, held: Contents) -> int:
        """Bytes held without a grant. An entry that was replaced while in use counts as granted."""
        granted = {folder: _with_overhead(size) for folder, size in self.granted.get(namespace, {}).items()}
        staged, whole, replaced = held.staged_bytes(), held.whole_bytes(), held.replaced_bytes()
        asked_bytes = sum(
            min(staged.get(folder, 0) + whole.get(folder, 0), size_bytes) + min(replaced.get(folder, 0), size_bytes)
            for folder, size_bytes in granted.items()
        )
        return held.used_bytes - asked_bytes

    def allowed_bytes(self, namespace: str, held: Contents) -> int:
        """All that the namespace was granted and may have."""
        granted = self.granted.get(namespace, {}).values()
        return sum(_with_overhead(size_bytes) for size_bytes in granted) + sum(held.replaced_bytes().values())

    def keep_only(self, found: Mapping[str, Contents]) -> None:
        """Drops the granted sizes of models that have no bytes here and no open grant."""
        for namespace in list(self.granted):
            held = found.get(namespace)
            present = {**held.staged_bytes(), **held.whole_bytes(), **held.replaced_bytes()} if held else {}
            self.granted[namespace] = {
                folder: size_bytes
                for folder, size_bytes in self.granted[namespace].items()
                if folder in present or self.is_live(namespace, folder)
            }
            if not self.granted[namespace]:
                del self.granted[namespace]

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
        """The saved ledger; None if there is none, or it is damaged."""
        try:
            saved = json.loads(path.read_text())
            return cls(granted={uid: {name: int(size) for name, size in sizes.items()} for uid, sizes in saved.items()})
        except (FileNotFoundError, ValueError, AttributeError, TypeError):
            return None


def _with_overhead(size_bytes: int) -> int:
    """With space for the file system's blocks and the fetch's own notes: 1 % and 1 MiB."""
    return size_bytes + size_bytes // 100 + (1 << 20)
