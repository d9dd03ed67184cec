"""Records which parts of a model are verified and on the disk, one per line, so that a killed fetch can resume.

Each line is a JSON array:

    ["boot", id]                                      a fetch began, under the kernel that has this boot id
    ["part", file, offset, length, crc64nvme, digest] the part's bytes were written; its CRC, and its checksum of the
                                                      kind that the source stores if that is a CRC, in hexadecimal
    ["synced", file, count]                           its first ``count`` parts since "boot" are on the disk for good
    ["whole", file, crc64nvme]                        the file is verified and on the disk for good
    ["again", file]                                   the lines above for this file do not count

A part that was written and not yet synced survives a killed process, since the kernel has it, but not a power cut: so
it counts only while the same kernel runs. ``file`` names a file at one version, cut in one way. A torn line, and all
that follows it, is ignored.
"""

import errno
import json
import os
import threading
import weakref
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class PartNote:
    """A part that is on the disk: its position, its CRC64NVME, and its checksum of the stored kind if that is a CRC."""

    offset: int
    length: int
    crc64nvme: int
    digest: bytes


class Notes:
    """A journal's content: parts by file and offset, and the CRC64NVME of whole files."""

    def __init__(self) -> None:
        self.parts: defaultdict[str, dict[int, PartNote]] = defaultdict(dict)
        self.whole: dict[str, int] = {}


class Journal:
    """Appends from several threads. Methods raise OSError as the file system does."""

    def __init__(self, path: Path) -> None:
        """Reads the journal into ``notes``, truncates a torn end, and appends from there."""
        boot = _boot_id()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        weakref.finalize(self, os.close, self._file)
        self._lock = threading.Lock()
        reader = _Reader()
        os.ftruncate(self._file, reader.read(self._content()))
        self.notes, self._counts = reader.end(boot)
        if reader.boot != boot:
            self._append(["boot", boot])

    def _content(self) -> bytes:
        with open(self._file, "rb", closefd=False) as file:
            return file.read()

    def part(self, file: str, note: PartNote) -> None:
        """The part's bytes are written."""
        with self._lock:
            self._append(["part", file, note.offset, note.length, f"{note.crc64nvme:016x}", note.digest.hex()])
            self._counts[file] += 1

    def noted(self, file: str) -> int:
        """How many parts of the file are noted: the ``count`` to pass to ``synced`` after a sync that begins now."""
        return self._counts[file]

    def synced(self, file: str, count: int) -> None:
        """So many parts of the file are on the disk for good."""
        self._append(["synced", file, count])

    def whole(self, file: str, crc64nvme: int) -> None:
        """The file is verified, and on the disk for good."""
        self._append(["whole", file, f"{crc64nvme:016x}"])
        self.notes.whole[file] = crc64nvme

    def again(self, file: str) -> None:
        """What was noted of the file does not count any more, whatever comes."""
        with self._lock:
            if file in self.notes.parts or file in self.notes.whole or self._counts[file]:
                self._append(["again", file])
                os.fsync(self._file)
            self._counts.pop(file, None)
            self.notes.parts.pop(file, None)
            self.notes.whole.pop(file, None)

    def _append(self, line: list[str | int]) -> None:
        text = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if os.write(self._file, text) != len(text):  # what follows a torn line is not read again
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _boot_id() -> str:
    """The running kernel's boot id; a random one if it cannot be read."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return os.urandom(16).hex()


class _Reader:
    """Takes a journal's lines one by one."""

    def __init__(self) -> None:
        self.boot = ""
        self._notes = Notes()
        self._since_boot: defaultdict[str, list[PartNote]] = defaultdict(list)
        self._synced: Counter[str] = Counter()

    def read(self, content: bytes) -> int:
        """Takes what counts, and returns how many bytes of the content that is."""
        good_bytes = 0
        while (end := content.find(b"\n", good_bytes)) >= 0:
            try:
                self._take(json.loads(content[good_bytes:end]))
            except (ValueError, TypeError, RecursionError):
                break
            good_bytes = end + 1
        return good_bytes

    def end(self, boot: str) -> tuple[Notes, Counter[str]]:
        """What counts now, under the kernel of this boot id; and how many parts were noted under it of each file."""
        if boot != self.boot:
            self._new_boot(boot)
        for file, noted in self._since_boot.items():
            self._notes.parts[file].update({note.offset: note for note in noted})
        return self._notes, Counter({file: len(noted) for file, noted in self._since_boot.items()})

    def _take(self, line: list[str | int]) -> None:
        match line:
            case ["boot", str(boot)]:
                self._new_boot(boot)
                self.boot = boot
            case ["part", str(file), int(offset), int(length), str(crc), str(digest)]:
                self._since_boot[file].append(PartNote(offset, length, int(crc, 16), bytes.fromhex(digest)))
            case ["synced", str(file), int(count)]:
                self._synced[file] = count
            case ["whole", str(file), str(crc)]:
                self._notes.whole[file] = int(crc, 16)
            case ["again", str(file)]:
                for kept in (self._since_boot, self._synced, self._notes.parts, self._notes.whole):
                    kept.pop(file, None)
            case _:
                raise ValueError("not a journal's line")

    def _new_boot(self, boot: str) -> None:
        """Of what an earlier kernel wrote, only that counts which was synced."""
        if boot == self.boot:
            return
        for file, count in self._synced.items():
            self._notes.parts[file].update({note.offset: note for note in self._since_boot[file][:count]})
        self._since_boot.clear()
        self._synced.clear()
