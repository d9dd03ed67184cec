"""Which keys may become files, and what names a model's content."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.checksums import Algorithm, Checksum
from modelyard.fetcher.content.remote_file import FILES_LIMIT, RemoteFile, check_paths, content_digest, safe_path
from modelyard.fetcher.failure import FetchError


def file(path: str, size_bytes: int = 1, value: str = "x", version: str = "v") -> RemoteFile:
    return RemoteFile(PurePosixPath(path), size_bytes, f"m/{path}", version, Checksum(Algorithm.SHA256, value))


def test_a_key_goes_where_it_lies_below_its_folder() -> None:
    assert safe_path("m/a/b.bin", "m/") == PurePosixPath("a/b.bin")


@pytest.mark.parametrize(
    "key",
    [
        "m/../secret",
        "m/a/../../secret",
        "m//etc/passwd",
        "m/./a",
        "m/a//b",
        "m/a/",
        "m/a\0b",
        "m/a\nb",
        "m/" + "a" * 256,
        "m/" + "a/" * 1600 + "a",
    ],
)
def test_a_key_that_would_leave_the_folder_or_fits_no_file_system_is_refused(key: str) -> None:
    with pytest.raises(FetchError) as refusal:
        safe_path(key, "m/")
    assert refusal.value.reason is Reason.UNSAFE_KEY


@pytest.mark.parametrize(
    "name", ["Bild\u202f1", "a\u00a0b", "a b", "\u200bzero", "a\u2028b", "\U0001f469\u200d\U0001f680"]
)
def test_a_name_with_any_blank_is_a_files_name(name: str) -> None:
    assert str(safe_path(f"m/{name}", "m/")) == name


@pytest.mark.parametrize("character", ["\t", "\x7f", "\x85", "\u202e", "\u2066", "\ud800"])
def test_a_name_that_changes_how_others_are_shown_is_refused_with_the_character(character: str) -> None:
    with pytest.raises(FetchError, match=f"contains U\\+{ord(character):04X}, a control or bidi"):
        safe_path(f"m/a{character}b", "m/")


@given(st.text(alphabet="ab./\\\0~$ ", max_size=30))
def test_no_key_whatever_leaves_the_folder(key: str) -> None:
    try:
        path = safe_path(key, "")
    except FetchError:
        return
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert str(path) == key


def test_a_file_that_is_a_folder_too_is_refused() -> None:
    with pytest.raises(FetchError, match="a is also a file"):
        check_paths([PurePosixPath("a"), PurePosixPath("a/b/c")])


def test_a_file_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(FetchError, match="it is listed twice"):
        check_paths([PurePosixPath("a"), PurePosixPath("b"), PurePosixPath("a")])


def test_more_files_than_a_model_has_are_refused() -> None:
    check_paths(PurePosixPath(str(number)) for number in range(FILES_LIMIT))
    with pytest.raises(FetchError) as refusal:
        check_paths(PurePosixPath(str(number)) for number in range(FILES_LIMIT + 1))
    assert refusal.value.reason is Reason.TOO_MANY_FILES


def test_the_digest_does_not_depend_on_the_listings_order_or_on_the_version() -> None:
    files = [file("a"), file("b/c", 2)]
    assert content_digest(files) == content_digest(reversed(files))
    assert content_digest(files) == content_digest([file("a", version="other"), file("b/c", 2)])


@pytest.mark.parametrize("other", [file("b"), file("a", 2), file("a", 1, "y")])
def test_another_name_size_or_checksum_is_another_digest(other: RemoteFile) -> None:
    assert content_digest([other]) != content_digest([file("a")])


def test_another_layout_of_the_uploaded_parts_is_another_digest() -> None:
    def uploaded(*part_sizes: int) -> RemoteFile:
        return RemoteFile(PurePosixPath("a"), 6, "a", "v", Checksum(Algorithm.SHA256, "x-2", part_sizes))

    assert content_digest([uploaded(2, 4)]) != content_digest([uploaded(3, 3)])
