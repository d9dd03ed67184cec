"""Verifies a file whose parts arrive in any order, on the bytes in flight.

CRCs of parts combine to that of the whole. Other hashes need the bytes in order: a part that begins where the
hash has got to is hashed as it passes by; one that came early is read back from the disk when its turn comes. Each
segment of a composite checksum (an uploaded part) is a chain of its own. The CRC64NVME of the whole file is computed
always, so that the bytes can be checked again later whatever the source stores.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.checksums import COMBINABLE, Algorithm, Checksum, Combine, Hash, new_hash, written
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.disk.journal import PartNote
from modelyard.fetcher.disk.staging import Part
from modelyard.fetcher.failure import FetchError

ReadBack = Callable[[Part, Callable[[memoryview], None]], None]
"""Gives the bytes of a part that is on the disk, block by block."""


class PartSum:
    """The checksums of one part, while its bytes pass by in order."""

    def __init__(self, part: Part, algorithm: Algorithm | None, chained: Hash | None) -> None:
        self.part = part
        self.chained = chained
        """The segment's hash so far, which this part continues; None if it is not this part's turn."""
        self._crc64nvme = new_hash(Algorithm.CRC64NVME)
        is_other_crc = algorithm in COMBINABLE and algorithm is not Algorithm.CRC64NVME
        self._other_crc = new_hash(algorithm) if is_other_crc and algorithm else None

    def update(self, block: memoryview) -> None:
        self._crc64nvme.update(block)
        if self._other_crc:
            self._other_crc.update(block)
        if self.chained:
            self.chained.update(block)

    def note(self) -> PartNote:
        """Its checksums: the stored kind's only if it is a CRC."""
        crc64nvme = self._crc64nvme.digest()
        other = self._other_crc.digest() if self._other_crc else crc64nvme
        return PartNote(self.part.offset, self.part.length, int.from_bytes(crc64nvme), other)


class _Chain:
    """One segment's hash, over the first ``hashed`` of its parts."""

    def __init__(self, parts: tuple[Part, ...], begun: Hash) -> None:
        self.parts = parts
        self.hashed = 0
        self.hash = begun

    def is_at(self, part: Part) -> bool:
        return self.hashed < len(self.parts) and self.parts[self.hashed] == part

    def advance(self, part: Part, hash_: Hash) -> None:
        if self.is_at(part):
            self.hashed, self.hash = self.hashed + 1, hash_


class Verification:
    """One file's. Thread-safe."""

    def __init__(self, checksum: Checksum | None, parts: tuple[Part, ...]) -> None:
        self._checksum = checksum
        self._parts = parts
        self._notes: dict[int, PartNote] = {}
        self._lock = threading.Lock()
        self._catching_up = threading.Lock()
        by_segment = [tuple(of_one) for _, of_one in groupby(parts, key=lambda part: part.segment)] or [()]
        self._segments: list[tuple[Part, ...]] = by_segment
        self._chains: list[_Chain] = []
        if checksum and checksum.algorithm not in COMBINABLE:
            for of_one in by_segment:
                begun = new_hash(checksum.algorithm)
                begun.update(checksum.prefix)
                self._chains.append(_Chain(of_one, begun))

    @property
    def is_ordered(self) -> bool:
        """Whether bytes that come in order save a second reading."""
        return bool(self._chains)

    def resume(self, notes: Mapping[int, PartNote]) -> tuple[Part, ...]:
        """Takes over what an earlier fetch wrote. Returns the parts that are missing still."""
        for part in self._parts:
            note = notes.get(part.offset)
            if note and note.length == part.length:
                self._notes[part.offset] = note
        return tuple(part for part in self._parts if part.offset not in self._notes)

    def begin(self, part: Part) -> PartSum:
        """To be updated with the part's bytes."""
        chained = None
        if self._chains:
            chain = self._chains[part.segment]
            with self._lock:
                chained = chain.hash.copy() if chain.is_at(part) else None
        return PartSum(part, self._checksum.algorithm if self._checksum else None, chained)

    def commit(self, computed: PartSum) -> PartNote:
        """The part's bytes are written. Returns what to note of them."""
        note = computed.note()
        with self._lock:
            self._notes[note.offset] = note
            if computed.chained:
                self._chains[computed.part.segment].advance(computed.part, computed.chained)
        return note

    def catch_up(self, segment: int, read_back: ReadBack) -> None:
        """Hashes the parts of a segment that came before their turn, as far as they go without a gap; unless another
        thread does so already.
        """
        if self._chains and self._catching_up.acquire(blocking=False):
            try:
                self._catch_up(self._chains[segment], read_back)
            finally:
                self._catching_up.release()

    def catch_up_all(self, read_back: ReadBack) -> None:
        """The same for the whole file, once all parts are there."""
        with self._catching_up:
            for chain in self._chains:
                self._catch_up(chain, read_back)

    def _catch_up(self, chain: _Chain, read_back: ReadBack) -> None:
        while chain.hashed < len(chain.parts) and chain.parts[chain.hashed].offset in self._notes:
            with self._lock:
                part, hash_ = chain.parts[chain.hashed], chain.hash.copy()
            read_back(part, hash_.update)
            with self._lock:
                chain.advance(part, hash_)

    def crc64nvme(self) -> int:
        """Of the whole file, once all parts are there."""
        return self._combined(COMBINABLE[Algorithm.CRC64NVME], lambda note: note.crc64nvme, self._parts)

    def mismatch(self) -> str:
        """What is wrong with the file, once all parts are there and hashed; empty if it is as stored."""
        checksum = self._checksum
        if checksum is None or (computed := written(checksum, self._digests(checksum))) == checksum.value:
            return ""
        return f"{checksum.algorithm} {checksum.value}, computed {computed}"

    def _digests(self, checksum: Checksum) -> list[bytes]:
        """Of each segment, in the stored kind of checksum."""
        if self._chains:
            return [chain.hash.digest() for chain in self._chains]
        combine, size_bytes = COMBINABLE[checksum.algorithm], len(new_hash(checksum.algorithm).digest())
        combined = [self._combined(combine, lambda note: int.from_bytes(note.digest), of) for of in self._segments]
        return [value.to_bytes(size_bytes, "big") for value in combined]

    def _combined(self, combine: Combine, crc_of: Callable[[PartNote], int], parts: Sequence[Part]) -> int:
        combined = 0
        for part in parts:
            combined = combine(combined, crc_of(self._notes[part.offset]), part.length)
        return combined


class WrongBytesError(FetchError):
    """A file that does not match its checksum, twice with the same bytes."""

    def __init__(self, file: RemoteFile, problem: str) -> None:
        super().__init__(
            Reason.CHECKSUM_MISMATCH,
            f"{file.key} does not match its checksum ({problem}), twice with the same bytes: upload the file again, or "
            "correct the checksum if you set it. The fetch continues when the source reports another version or date "
            "of the file; a new pod fetches it in any case",
        )
        self.file = file
        self.problem = problem


class WrongBytes:
    """Files whose bytes came wrong twice, identically: a third download would bring the same bytes.

    Kept over the attempts of one fetcher.
    """

    def __init__(self) -> None:
        self._known: dict[RemoteFile, tuple[str, str]] = {}

    def remember(self, error: WrongBytesError, stamp: str) -> None:
        """``stamp`` is source.Source.stamp of the file; an empty one shows no change, so nothing is remembered."""
        if stamp:
            self._known[error.file] = stamp, error.problem

    def check(self, files: Iterable[RemoteFile], stamp_of: Callable[[RemoteFile], str]) -> None:
        """Raises the file's WrongBytesError again while the source still shows the version recorded with it."""
        for file in files:
            if file in self._known:
                stamp, problem = self._known[file]
                if stamp_of(file) == stamp:
                    raise WrongBytesError(file, problem)
                del self._known[file]
