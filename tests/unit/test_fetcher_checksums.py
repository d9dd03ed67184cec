"""The checksums' arithmetic, against the published check values of "123456789"."""

import base64
import hashlib

import pytest

from modelyard.fetcher.content.checksums import Algorithm, Checksum, is_md5, is_value_of, new_hash, part_count, written

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


def computed(checksum: Checksum, *parts: bytes) -> str:
    digests = []
    for part in parts:
        hashed = new_hash(checksum.algorithm)
        hashed.update(checksum.prefix)
        hashed.update(part)
        digests.append(hashed.digest())
    return written(checksum, digests)


@pytest.mark.parametrize(("algorithm", "expected"), CHECK_VALUES.items())
def test_each_algorithm_computes_its_published_value(algorithm: Algorithm, expected: str) -> None:
    value = base64.b64encode(bytes.fromhex(expected)).decode()
    assert computed(Checksum(algorithm, value), b"123456789") == value


def test_a_hash_that_is_copied_goes_on_by_itself() -> None:
    for algorithm in Algorithm:
        first = new_hash(algorithm)
        first.update(b"1234")
        second = first.copy()
        second.update(b"56789")
        assert second.digest() != first.digest()
        first.update(b"56789")
        assert second.digest() == first.digest()


def test_an_etag_is_the_md5_in_hexadecimal() -> None:
    value = hashlib.md5(b"abc").hexdigest()
    assert computed(Checksum.etag(value, ()), b"abc") == value


def test_a_git_blob_is_named_as_git_names_it() -> None:
    # printf abc | git hash-object --stdin
    name = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"
    assert computed(Checksum.git_blob(name, 3), b"abc") == name


def test_a_sha256_is_shown_in_hexadecimal_as_it_was_given() -> None:
    value = hashlib.sha256(b"abc").hexdigest()
    assert computed(Checksum.sha256(value), b"abc") == value


def test_a_composite_is_over_the_parts_digests() -> None:
    parts = (b"12", b"345", b"6")
    of_parts = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    value = f"{base64.b64encode(of_parts).decode()}-3"
    assert computed(Checksum(Algorithm.SHA256, value, (2, 3, 1)), *parts) == value


def test_only_a_composite_has_parts() -> None:
    assert part_count("ewo/cw==-3") == 3
    assert part_count("ewo/cw==") == 0


MD5 = hashlib.md5(b"abc").hexdigest()


@pytest.mark.parametrize("etag", [MD5, MD5.upper(), f"{MD5}-1", f"{MD5.upper()}-10000"])
def test_an_etag_is_an_md5_in_small_letters_or_capitals(etag: str) -> None:
    assert is_md5(etag)


@pytest.mark.parametrize(
    "etag", ["", "CLjf35bOg+gCEAE=", MD5[1:], f"{MD5}-0", f"{MD5}-10001", f"{MD5}-", f"{MD5}-1-2", "é" * 32]
)
def test_an_etag_that_cannot_be_an_md5_is_no_checksum(etag: str) -> None:
    assert not is_md5(etag)


def test_capitals_are_the_same_checksum() -> None:
    for checksum in (Checksum.etag(MD5.upper(), ()), Checksum.sha256(hashlib.sha256(b"abc").hexdigest().upper())):
        assert computed(checksum, b"abc") == checksum.value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ewo/cw==", True),
        ("ewo/cw==-3", True),
        ("", False),
        ("ewo/cw", False),
        ("7b0a3f73", False),
        ("ewo/cw==-x", False),
    ],
)
def test_what_cannot_be_a_checksum_of_its_kind_is_none(value: str, expected: bool) -> None:
    assert is_value_of(Algorithm.CRC32, value) is expected
