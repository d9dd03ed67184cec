"""The checksums that sources store of files, and how each is computed. Pure.

S3 stores a checksum of the whole object ("full object") or, for one uploaded in parts, often only one over the parts'
checksums ("composite", written `<base64>-<number of parts>`): that is computed again from the same part sizes.
Source: Amazon S3 User Guide, "Checking object integrity in Amazon S3"; what boto3 and SeaweedFS really store is in
tests/fetcher.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol, Self

from awscrt import checksums as crt
from zlib_ng import zlib_ng


class Algorithm(StrEnum):
    """In order of strength: where a source stores several checksums of a file, the first counts."""

    SHA512 = "SHA512"
    SHA256 = "SHA256"
    SHA1 = "SHA1"
    CRC64NVME = "CRC64NVME"
    MD5 = "MD5"
    CRC32C = "CRC32C"
    CRC32 = "CRC32"
    ETAG = "ETag"
    """The MD5 in hexadecimal, or `<MD5 of the parts' MD5s>-<number of parts>`: only where nothing better is stored, and
    only where the object is not encrypted with a key of its own (then an ETag is no MD5)."""
    GIT_BLOB = "GitBlob"
    """A file's name in git: the SHA-1, in hexadecimal, of `blob <size>`, a zero byte and the file's bytes."""


@dataclass(frozen=True)
class Checksum:
    """A stored checksum. ``value`` is written as the source writes it, in base64 or, with ``is_hexadecimal``, in
    hexadecimal; ``part_sizes`` (bytes) is empty for one that covers the whole file, else it lists every part, in order.
    ``prefix`` is hashed before the file's own bytes.
    """

    algorithm: Algorithm
    value: str
    part_sizes: tuple[int, ...] = ()
    is_hexadecimal: bool = False
    prefix: bytes = b""

    @classmethod
    def sha256(cls, value: str) -> Self:
        """From 64 hexadecimal digits, in small letters or capitals."""
        return cls(Algorithm.SHA256, value.lower(), is_hexadecimal=True)

    @classmethod
    def etag(cls, value: str, part_sizes: tuple[int, ...]) -> Self:
        """From an ETag without its quotes that ``is_md5`` finds to be one, in small letters or capitals."""
        return cls(Algorithm.ETAG, value.lower(), part_sizes, is_hexadecimal=True)

    @classmethod
    def git_blob(cls, value: str, size_bytes: int) -> Self:
        """From a git blob's name and the size of its content."""
        return cls(Algorithm.GIT_BLOB, value, is_hexadecimal=True, prefix=b"blob %d\0" % size_bytes)


PARTS_LIMIT = 10_000
"""Of one upload (Amazon S3 User Guide, "Amazon S3 multipart upload limits")."""

_PART_COUNT = re.compile(r"(?P<digest>[^-]*)(?:-(?P<count>[1-9][0-9]{0,4}))?")
_MD5_BYTES = 16


def part_count(value: str) -> int:
    """Of how many parts' checksums a stored value is the checksum; 0 if it covers the whole file."""
    stored = _PART_COUNT.fullmatch(value)
    return int(stored["count"] or 0) if stored else 0


def is_md5(etag: str) -> bool:
    """Whether an ETag without its quotes can be an MD5, or one of the parts' MD5s. A store may choose any other text,
    which then is the version's name and no checksum (RFC 9110, section 8.8.3).
    """
    return _is_stored(etag, binascii.unhexlify, _MD5_BYTES)


def is_value_of(algorithm: Algorithm, value: str) -> bool:
    """Whether a stored text can be a checksum of this kind in base64."""
    return _is_stored(value, partial(base64.b64decode, validate=True), len(new_hash(algorithm).digest()))


def _is_stored(value: str, decode: Callable[[str], bytes], digest_bytes: int) -> bool:
    stored = _PART_COUNT.fullmatch(value)
    if not stored or part_count(value) > PARTS_LIMIT:
        return False
    try:
        return len(decode(stored["digest"])) == digest_bytes
    except ValueError:
        return False


class Hash(Protocol):
    """What hashlib's objects are."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> Self: ...


class _Crc:
    """A CRC with hashlib's two methods; S3 writes it as big-endian bytes."""

    def __init__(self, function: Callable[[bytes | memoryview, int], int], size_bytes: int) -> None:
        self._function = function
        self._size_bytes = size_bytes
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size_bytes, "big")

    def copy(self) -> Self:
        copied = type(self)(self._function, self._size_bytes)
        copied._value = self._value  # noqa: SLF001 - of its own class
        return copied


_HASHES: dict[Algorithm, Callable[[], Hash]] = {
    Algorithm.SHA512: hashlib.sha512,
    Algorithm.SHA256: hashlib.sha256,
    Algorithm.SHA1: partial(hashlib.sha1, usedforsecurity=False),
    Algorithm.CRC64NVME: lambda: _Crc(crt.crc64nvme, 8),
    Algorithm.MD5: partial(hashlib.md5, usedforsecurity=False),
    Algorithm.CRC32C: lambda: _Crc(crt.crc32c, 4),
    Algorithm.CRC32: lambda: _Crc(zlib_ng.crc32, 4),
    Algorithm.ETAG: partial(hashlib.md5, usedforsecurity=False),
    Algorithm.GIT_BLOB: partial(hashlib.sha1, usedforsecurity=False),
}


Combine = Callable[[int, int, int], int]

COMBINABLE: dict[Algorithm, Combine] = {
    Algorithm.CRC64NVME: crt.combine_crc64nvme,
    Algorithm.CRC32C: crt.combine_crc32c,
    Algorithm.CRC32: crt.combine_crc32,
}
"""The algorithms that need no order. The CRC of some bytes, that of those which follow and how many these are give the
CRC of all: so parts that arrive in any order are checked against the whole's, without reading them again.
"""


def new_hash(algorithm: Algorithm) -> Hash:
    """A computation at its beginning; CRCs digest to big-endian bytes, as S3 writes them."""
    return _HASHES[algorithm]()


def written(checksum: Checksum, digests: Sequence[bytes]) -> str:
    """The computed checksum as the source writes it, from the digests of its parts: one where it covers the whole."""
    digest, suffix = digests[0], ""
    if checksum.part_sizes:
        of_parts = new_hash(checksum.algorithm)
        of_parts.update(b"".join(digests))
        digest, suffix = of_parts.digest(), f"-{len(checksum.part_sizes)}"
    return (digest.hex() if checksum.is_hexadecimal else base64.b64encode(digest).decode()) + suffix
