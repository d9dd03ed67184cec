"""Cutting GPU code out of a library, on a library of a few pages that is made up here."""

import struct

import pytest

from tests.support.image_module import image_module

drop = image_module("vllm-cpu", "drop_gpu_code")

PAGE = drop.PAGE_BYTES
NAMES = b"\0.nv_fatbin\0.names\0"
LOAD, NOTE = drop.PT_LOAD, drop.PT_NOTE


def library(segments: list[tuple[int, int, int]], gpu_code: tuple[int, int], pages: int) -> bytes:
    """An ELF file with these segments (kind, offset, size; address as offset) and one section of GPU code.

    Each page is filled with its own number, so that a page that moved is known by its content.
    """
    body = bytearray(b"".join(bytes([number]) * PAGE for number in range(pages)))
    names_offset, table = len(body), len(body) + len(NAMES)
    sections = [(0, 0, 0), (1, *gpu_code), (12, names_offset, len(NAMES))]
    body += NAMES
    for name, offset, size in sections:
        body += drop.SECTION_HEADER.pack(name, 1, 0, offset, offset, size, 0, 0, 0, 0)
    magic = drop.ELF64_LITTLE_ENDIAN.ljust(16, b"\0")
    counts = (64, drop.PROGRAM_HEADER.size, len(segments), drop.SECTION_HEADER.size, len(sections), 2)
    drop.ELF_HEADER.pack_into(body, 0, magic, 3, 62, 1, 0, 64, table, 0, *counts)
    for index, (kind, offset, size) in enumerate(segments):
        place = 64 + index * drop.PROGRAM_HEADER.size
        drop.PROGRAM_HEADER.pack_into(body, place, kind, 4, offset, offset, offset, size, size, PAGE)
    return bytes(body)


def memory(data: bytes) -> dict[int, bytes]:
    """What the loader would map: some bytes of each page, by the page's address."""
    mapped = {}
    for segment in drop.segments_of(data):
        if segment.kind == LOAD:
            for start in range(0, segment.file_bytes, PAGE):
                place = segment.offset + start
                mapped[segment.address + start] = data[place + 1000 : place + 1008]
    return mapped


SEGMENTS = [(LOAD, 0, PAGE), (LOAD, PAGE, 6 * PAGE), (NOTE, 6 * PAGE, 16), (LOAD, 7 * PAGE, PAGE)]
# From the middle of page 2 to the middle of page 5: pages 3 and 4 are its whole ones.
GPU_CODE = (2 * PAGE + 100, 3 * PAGE)


def test_all_but_the_gpu_code_is_found_at_its_old_address() -> None:
    before = library(SEGMENTS, GPU_CODE, pages=8)
    kept = {address: content for address, content in memory(before).items() if address not in (3 * PAGE, 4 * PAGE)}
    assert memory(drop.drop_gpu_code(before)) == kept


def test_the_file_shrinks_by_the_whole_pages_of_gpu_code() -> None:
    before = library(SEGMENTS, GPU_CODE, pages=8)
    assert len(before) - len(drop.drop_gpu_code(before)) == 2 * PAGE


def test_section_headers_are_dropped_since_they_no_longer_fit() -> None:
    after = drop.drop_gpu_code(library(SEGMENTS, GPU_CODE, pages=8))
    header = drop.ELF_HEADER.unpack_from(after)
    assert (header[6], header[12], header[13]) == (0, 0, 0)


def test_a_library_without_a_note_to_give_up_is_refused() -> None:
    without_note = [segment for segment in SEGMENTS if segment[0] != NOTE]
    with pytest.raises(ValueError, match="program headers do not fit"):
        drop.drop_gpu_code(library(without_note, GPU_CODE, pages=8))


def test_a_library_without_gpu_code_is_refused() -> None:
    data = library(SEGMENTS, GPU_CODE, pages=8).replace(b".nv_fatbin", b".something")
    with pytest.raises(ValueError, match=r"no section \.nv_fatbin"):
        drop.drop_gpu_code(data)


def test_a_file_that_is_no_library_is_refused() -> None:
    with pytest.raises(ValueError, match="not a 64-bit"):
        drop.drop_gpu_code(struct.pack("<64x"))
