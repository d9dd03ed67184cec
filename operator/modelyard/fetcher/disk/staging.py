"""A model that is arriving: files at their full size, and a journal of which parts of them are verified and written.

<staging>/model/<path>    the files; the folder becomes the entry, once all are whole
<staging>/journal         see journal.py

A part is what is fetched, checked and noted as one. Parts are aligned to those that the file was uploaded in, since a
composite checksum is computed over these.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.contract.cache_layout import FOLDER_MODE
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.disk.direct_file import PAGE_BYTES, DirectFile
from modelyard.fetcher.disk.journal import Journal, PartNote

_BLOCK_BYTES = 512
"""What st_blocks counts, whatever the file system (inode(7))."""

PART_LIMIT_BYTES = 16 * 1024 * 1024
"""A fetch that is killed fetches at most so many bytes again for each of its connections."""


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


def make_folder(folder: Path) -> None:
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.lstat().st_size == size_bytes
    except (FileNotFoundError, NotADirectoryError):
        return False


def _allocated_bytes(path: Path) -> int:
    try:
        return path.lstat().st_blocks * _BLOCK_BYTES
    except (FileNotFoundError, NotADirectoryError):
        return 0


class Staging:
    """One digest's staging folder. Thread-safe; methods raise OSError as the file system does."""

    def __init__(self, folder: Path) -> None:
        self.model = folder / "model"
        """The folder that becomes the entry, once ``holds`` is true of every file."""
        make_folder(self.model)
        self._journal = Journal(folder / "journal")

    def holds(self, file: RemoteFile) -> bool:
        """Whether the whole file is here, verified and synced."""
        return _name(file) in self._journal.notes.whole and has_size(self.model / file.path, file.size_bytes)

    def held_bytes(self, files: Iterable[RemoteFile]) -> int:
        """How much of the files need not come again."""
        return sum(
            file.size_bytes if self.holds(file) else sum(note.length for note in self.parts(file).values())
            for file in files
        )

    def allocated_bytes(self, files: Iterable[RemoteFile]) -> int:
        """How much disk space the files have already: files get all of theirs when they are begun."""
        return sum(min(file.size_bytes, _allocated_bytes(self.model / file.path)) for file in files)

    def crc64nvme(self, file: RemoteFile) -> str:
        """The CRC64NVME of a file that is whole, as 16 hexadecimal digits."""
        return f"{self._journal.notes.whole[_name(file)]:016x}"

    def parts(self, file: RemoteFile) -> Mapping[int, PartNote]:
        """The parts, by offset, that are here of a file that is not whole."""
        return self._journal.notes.parts[_name(file)] if has_size(self.model / file.path, file.size_bytes) else {}

    def open(self, file: RemoteFile) -> DirectFile:
        """The file to write to, at its full size. Its disk space is taken now, so that a full disk shows at once."""
        path = self.model / file.path
        if not has_size(path, file.size_bytes):
            self._journal.again(_name(file))  # notes of a file that is gone, perhaps published, do not hold here
        make_folder(path.parent)
        return DirectFile(path, file.size_bytes)

    def note_part(self, file: RemoteFile, note: PartNote) -> None:
        """The part's bytes are written."""
        self._journal.part(_name(file), note)

    def sync(self, file: RemoteFile, arriving: DirectFile) -> None:
        """Makes the parts that were noted so far outlive a power cut."""
        count = self._journal.noted(_name(file))
        arriving.sync()
        self._journal.synced(_name(file), count)

    def accept(self, file: RemoteFile, crc64nvme: int) -> None:
        """The file's bytes are verified and synced."""
        self._journal.whole(_name(file), crc64nvme)

    def forget(self, file: RemoteFile) -> None:
        """The file must come again, as its bytes are wrong."""
        self._journal.again(_name(file))


def _name(file: RemoteFile) -> str:
    """Names a file at one version, cut in one way: notes on another do not hold for it."""
    part_sizes = file.checksum.part_sizes if file.checksum else ()
    text = json.dumps([str(file.path), file.size_bytes, file.version, part_sizes, PART_LIMIT_BYTES])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
