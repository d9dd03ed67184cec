"""CRCs of stretches that combine, against the same computed over all bytes at once."""

import zlib
from collections.abc import Callable

import pytest
from awscrt import checksums as crt
from hypothesis import given
from hypothesis import strategies as st

from modelyard.fetcher.content import crc

Compute = Callable[[bytes], int]

CRCS = [(crc.CRC32, zlib.crc32), (crc.CRC32C, crt.crc32c), (crc.CRC64NVME, crt.crc64nvme)]


@pytest.mark.parametrize(("polynomial", "compute"), CRCS)
@given(parts=st.lists(st.binary(max_size=40), max_size=5))
def test_the_parts_crcs_give_that_of_the_whole(
    polynomial: crc.Polynomial, compute: Compute, parts: list[bytes]
) -> None:
    combined = 0
    for part in parts:
        combined = crc.combine(combined, compute(part), len(part), polynomial)
    assert combined == compute(b"".join(parts))


@pytest.mark.parametrize(("polynomial", "compute"), CRCS)
def test_long_parts_combine_too(polynomial: crc.Polynomial, compute: Compute) -> None:
    first, second = b"first", bytes(3 * 1024 * 1024 + 1)
    assert crc.combine(compute(first), compute(second), len(second), polynomial) == compute(first + second)
