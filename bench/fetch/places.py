"""Where models are fetched from: an address that speaks S3 or looks like it."""

from dataclasses import dataclass, replace
from pathlib import Path

from bench.fetch.model import Model


@dataclass(frozen=True)
class Place:
    """A bucket that holds one model below PREFIX, and the key that may read it; ``ca`` is what signed for an https
    endpoint.
    """

    endpoint: str
    bucket: str
    key: tuple[str, str]
    model: Model
    ca: Path | None = None

    def over_tls(self, endpoint: str, ca: Path) -> "Place":
        return replace(self, endpoint=endpoint, ca=ca)
