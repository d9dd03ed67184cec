"""How files are cut: whole, without gaps, aligned to what they were uploaded in."""

from hypothesis import given
from hypothesis import strategies as st

from modelyard.fetcher.disk.direct_file import PAGE_BYTES
from modelyard.fetcher.disk.staging import PART_LIMIT_BYTES, Part, parts

MIB = 1024 * 1024


def test_a_file_is_cut_into_parts_of_one_size() -> None:
    cut = parts(100 * MIB)
    assert [part.length for part in cut] == [14_983_168] * 6 + [100 * MIB - 6 * 14_983_168]
    assert max(part.length for part in cut) <= PART_LIMIT_BYTES


def test_an_empty_file_has_no_parts() -> None:
    assert parts(0) == ()


def test_no_part_crosses_two_uploaded_ones() -> None:
    uploaded = (5 * MIB, 40 * MIB, 11)
    assert parts(sum(uploaded), uploaded) == (
        Part(0, 5 * MIB, 0),
        Part(5 * MIB, 13_983_744, 1),
        Part(5 * MIB + 13_983_744, 13_983_744, 1),
        Part(5 * MIB + 2 * 13_983_744, 40 * MIB - 2 * 13_983_744, 1),
        Part(45 * MIB, 11, 2),
    )


@given(st.lists(st.integers(1, 50 * MIB), min_size=1, max_size=4))
def test_parts_follow_one_another_from_the_first_byte_to_the_last(uploaded: list[int]) -> None:
    position = segment = 0
    for part in parts(sum(uploaded), tuple(uploaded)):
        assert part.offset == position
        assert 0 < part.length <= PART_LIMIT_BYTES
        assert part.segment in {segment, segment + 1}
        position, segment = part.end, part.segment
    assert (position, segment) == (sum(uploaded), len(uploaded) - 1)


@given(st.integers(1, 200 * MIB))
def test_a_whole_files_parts_begin_at_pages(size_bytes: int) -> None:
    assert {part.offset % PAGE_BYTES for part in parts(size_bytes)} == {0}
