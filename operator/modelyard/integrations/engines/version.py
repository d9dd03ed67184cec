"""An engine's version: what is known of it, and what follows where nothing is.

What is unknown here is read from the image when a pod starts: see ``Program.package`` in base.py.
"""

import re
from dataclasses import dataclass
from typing import Self

Release = tuple[int, int, int]
"""Major, minor and patch number."""

UNKNOWN_VERSION = "unknown"

RELEASE = re.compile(r"v?((\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?)")
TAG = re.compile(r":([A-Za-z0-9_][A-Za-z0-9_.-]*)(@[^@]*)?$")
"""An image reference's tag: behind the last colon, before a digest. The port of a registry has a slash behind it."""

_LEADING_V = re.compile(r"^v(?=\d)")


def is_same_version(one: str, other: str) -> bool:
    """Whether both name one version: ``v0.32.0``, as tags have it, is ``0.32.0``."""
    return _LEADING_V.sub("", one) == _LEADING_V.sub("", other)


@dataclass(frozen=True)
class EngineVersion:
    """``text`` is the version's number, ``release`` the same as numbers, which is None where nothing is known."""

    text: str
    release: Release | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``0.32.0``, ``v0.32.0-x86_64`` and the like; any other text, such as ``nightly``, is unknown."""
        match = RELEASE.match(text)
        return cls(match[1], (int(match[2]), int(match[3]), int(match[4] or 0))) if match else cls.unknown()

    @classmethod
    def of_image(cls, image: str, published: str) -> Self:
        """The version in the tag of an image that the engine's own project publishes, wherever it is mirrored.

        ``published`` is a pattern of its repositories' names, without the registry. Unknown for the images of others,
        which have their own numbering, for a digest alone, ``latest`` or no tag.
        """
        match = TAG.search(image)
        if match is None or not re.search(rf"(?:^|/)(?:{published})$", image[: match.start()]):
            return cls.unknown()
        return cls.parse(match[1])

    @classmethod
    def unknown(cls) -> Self:
        return cls(UNKNOWN_VERSION, None)

    def has(self, since: Release) -> bool:
        """Whether it has what came with ``since``. An unknown version is taken as the newest known one."""
        return self.release is None or self.release >= since

    def __str__(self) -> str:
        return self.text
