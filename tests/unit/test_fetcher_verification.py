"""A file's checksum, whatever the order in which its parts arrive."""

import base64
import hashlib
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from awscrt import checksums as crt

from modelyard.fetcher.content.checksums import Algorithm, Checksum
from modelyard.fetcher.disk.staging import Part
from modelyard.fetcher.download.verification import Verification

CONTENT = random.Random(3).randbytes(1000)
BORDERS = (0, 100, 350, 351, 700, 1000)
"""Of the parts; 351 is one of the two segments' too."""

ONE_SEGMENT = tuple(Part(begin, end - begin, 0) for begin, end in pairwise(BORDERS))
TWO_SEGMENTS = tuple(Part(begin, end - begin, int(begin >= 351)) for begin, end in pairwise(BORDERS))


def _sha256(*parts: bytes) -> str:
    digests = [hashlib.sha256(part).digest() for part in parts]
    if len(digests) == 1:
        return base64.b64encode(digests[0]).decode()
    return f"{base64.b64encode(hashlib.sha256(b''.join(digests)).digest()).decode()}-{len(digests)}"


def _crc32c(*parts: bytes) -> str:
    values = [crt.crc32c(part).to_bytes(4, "big") for part in parts]
    if len(values) == 1:
        return base64.b64encode(values[0]).decode()
    return f"{base64.b64encode(crt.crc32c(b''.join(values)).to_bytes(4, 'big')).decode()}-{len(values)}"


HALVES = (CONTENT[:351], CONTENT[351:])
CASES = {
    "SHA-256": (Checksum(Algorithm.SHA256, _sha256(CONTENT)), ONE_SEGMENT),
    "SHA-256 of parts": (Checksum(Algorithm.SHA256, _sha256(*HALVES), (351, 649)), TWO_SEGMENTS),
    "CRC32C": (Checksum(Algorithm.CRC32C, _crc32c(CONTENT)), ONE_SEGMENT),
    "CRC32C of parts": (Checksum(Algorithm.CRC32C, _crc32c(*HALVES), (351, 649)), TWO_SEGMENTS),
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[Checksum, tuple[Part, ...]]:
    checksum, parts = request.param
    return checksum, parts


def of(part: Part, content: bytes = CONTENT) -> bytes:
    return content[part.offset : part.end]


def arrive(verification: Verification, part: Part, content: bytes = CONTENT) -> None:
    computed = verification.begin(part)
    for begin in range(part.offset, part.end, 60):
        computed.update(memoryview(content[begin : min(part.end, begin + 60)]))
    verification.commit(computed)


class Disk:
    """Gives parts back, and keeps which."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self._content = content
        self.read: list[Part] = []

    def __call__(self, part: Part, update: Callable[[memoryview], None]) -> None:
        self.read.append(part)
        update(memoryview(of(part, self._content)))


@pytest.mark.parametrize("seed", range(5))
def test_any_order_gives_the_files_checksum(case: tuple[Checksum, tuple[Part, ...]], seed: int) -> None:
    checksum, parts = case
    verification = Verification(checksum, parts)
    disk = Disk()
    for part in random.Random(seed).sample(parts, len(parts)):
        arrive(verification, part)
        verification.catch_up(part.segment, disk)
    verification.catch_up_all(disk)
    assert verification.mismatch() == ""
    assert verification.crc64nvme() == crt.crc64nvme(CONTENT)


def test_one_wrong_byte_is_reported_with_both_checksums(case: tuple[Checksum, tuple[Part, ...]]) -> None:
    checksum, parts = case
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    verification = Verification(checksum, parts)
    for part in parts:
        arrive(verification, part, wrong)
    verification.catch_up_all(Disk(wrong))
    assert verification.mismatch().startswith(f"{checksum.algorithm} {checksum.value}, computed ")


def test_parts_in_order_are_read_only_once(case: tuple[Checksum, tuple[Part, ...]]) -> None:
    checksum, parts = case
    verification = Verification(checksum, parts)
    disk = Disk()
    for part in parts:
        arrive(verification, part)
        verification.catch_up(part.segment, disk)
    verification.catch_up_all(disk)
    assert disk.read == []


def test_parts_of_an_earlier_fetch_count(case: tuple[Checksum, tuple[Part, ...]]) -> None:
    checksum, parts = case
    earlier = Verification(checksum, parts)
    notes = {}
    for part in parts[1:3]:
        computed = earlier.begin(part)
        computed.update(memoryview(of(part)))
        notes[part.offset] = earlier.commit(computed)
    later = Verification(checksum, parts)
    assert later.resume(notes) == (parts[0], *parts[3:])
    for part in (parts[0], *parts[3:]):
        arrive(later, part)
    later.catch_up_all(Disk())
    assert later.mismatch() == ""
    assert later.crc64nvme() == crt.crc64nvme(CONTENT)


def test_a_part_that_was_cut_otherwise_does_not_count() -> None:
    earlier = Verification(None, (Part(0, 60, 0),))
    computed = earlier.begin(Part(0, 60, 0))
    note = earlier.commit(computed)
    assert Verification(None, ONE_SEGMENT).resume({0: note}) == ONE_SEGMENT


def test_a_file_without_a_checksum_has_its_crc_all_the_same() -> None:
    verification = Verification(None, ONE_SEGMENT)
    for part in reversed(ONE_SEGMENT):
        arrive(verification, part)
    verification.catch_up_all(Disk())
    assert verification.mismatch() == ""
    assert verification.crc64nvme() == crt.crc64nvme(CONTENT)


@pytest.mark.parametrize("algorithm", [Algorithm.SHA256, Algorithm.CRC32C, Algorithm.CRC64NVME])
def test_an_empty_file_has_a_checksum(algorithm: Algorithm) -> None:
    empty = {Algorithm.SHA256: hashlib.sha256(b"").digest(), Algorithm.CRC32C: bytes(4), Algorithm.CRC64NVME: bytes(8)}
    verification = Verification(Checksum(algorithm, base64.b64encode(empty[algorithm]).decode()), ())
    verification.catch_up_all(Disk())
    assert verification.mismatch() == ""
    assert verification.crc64nvme() == 0
