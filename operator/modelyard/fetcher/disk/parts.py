"""How a file is cut into parts: what is fetched, checked and noted as one. Pure.

Parts are aligned to those that the file was uploaded in, since a composite checksum is computed over these.
"""

from collections.abc import Iterator
from dataclasses import dataclass

PART_LIMIT_BYTES = 16 * 1024 * 1024
"""A fetch that is killed fetches at most so many bytes again for each of its connections."""

PAGE_BYTES = 4096
"""O_DIRECT requires file offsets, lengths and memory addresses to be multiples of this, on every disk of today."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes ``offset`` to ``end`` of a file, in its ``segment``-th segment."""

    offset: int
    length: int
    segment: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def segments(size_bytes: int, upload_part_sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of the stretches that have a checksum each: the uploaded parts, or the whole file."""
    return upload_part_sizes or ((size_bytes,) if size_bytes else ())


def parts(size_bytes: int, upload_part_sizes: tuple[int, ...] = ()) -> tuple[Part, ...]:
    """The file's parts, in order; none of an empty file."""
    return tuple(_cut(segments(size_bytes, upload_part_sizes)))


def _cut(sizes: tuple[int, ...]) -> Iterator[Part]:
    """Each segment in parts of about the same size: a small rest would cost a request of its own."""
    offset = 0
    for number, size in enumerate(sizes):
        count = -(-size // PART_LIMIT_BYTES)
        end = offset + size
        length = -(-size // count) if count else 0
        length = -(-length // PAGE_BYTES) * PAGE_BYTES
        while offset < end:
            yield Part(offset, min(length, end - offset), number)
            offset += min(length, end - offset)
