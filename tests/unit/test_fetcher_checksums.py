"""The checksums' arithmetic, against the published check values of "123456789"."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.fetcher.checksums import Algorithm, Checksum, Verifier, is_composite

CHECK_VALUES = {
    # reveng.sourceforge.io/crc-catalogue, field "check"
    Algorithm.CRC32: "cbf43926",
    Algorithm.CRC32C: "e3069283",
    Algorithm.CRC64NVME: "ae8b14860a799888",
    # FIPS 180-4 and RFC 1321, as the standard library computes them
    Algorithm.SHA1: hashlib.sha1(b"123456789").hexdigest(),
    Algorithm.SHA256: hashlib.sha256(b"123456789").hexdigest(),
    Algorithm.SHA512: hashlib.sha512(b"123456789").hexdigest(),
    Algorithm.MD5: hashlib.md5(b"123456789").hexdigest(),
}


@pytest.mark.parametrize(("algorithm", "expected"), CHECK_VALUES.items())
def test_each_algorithm_computes_its_published_value(algorithm: Algorithm, expected: str) -> None:
    verifier = Verifier(Checksum(algorithm, base64.b64encode(bytes.fromhex(expected)).decode()))
    verifier.update(b"1234")
    assert not verifier.matches()
    verifier.update(b"56789")
    assert verifier.matches()


def test_an_etag_is_the_md5_in_hexadecimal() -> None:
    verifier = Verifier(Checksum.etag(hashlib.md5(b"abc").hexdigest(), ()))
    verifier.update(b"abc")
    assert verifier.matches()


def test_a_git_blob_is_named_as_git_names_it() -> None:
    # printf abc | git hash-object --stdin
    verifier = Verifier(Checksum.git_blob("f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f", 3))
    verifier.update(b"abc")
    assert verifier.matches()


def test_a_sha256_is_told_as_it_was_given_in_hexadecimal() -> None:
    verifier = Verifier(Checksum.sha256(hashlib.sha256(b"abc").hexdigest()))
    verifier.update(b"abc")
    assert verifier.matches()
    assert verifier.computed() == hashlib.sha256(b"abc").hexdigest()


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=6), st.integers(1, 20))
def test_a_composite_is_over_the_parts_digests_however_the_bytes_come(parts: list[bytes], block_bytes: int) -> None:
    of_parts = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    value = f"{base64.b64encode(of_parts).decode()}-{len(parts)}"
    verifier = Verifier(Checksum(Algorithm.SHA256, value, tuple(len(part) for part in parts)))
    data = b"".join(parts)
    for start in range(0, len(data), block_bytes):
        verifier.update(data[start : start + block_bytes])
    assert verifier.computed() == value


def test_only_a_composite_has_a_hyphen() -> None:
    assert is_composite("ewo/cw==-3")
    assert not is_composite("ewo/cw==")
