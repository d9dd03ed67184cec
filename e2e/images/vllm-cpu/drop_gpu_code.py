"""Cut the GPU kernels out of a shared library: `drop_gpu_code.py LIBRARY`, in place.

Two thirds of libtorch_cuda.so are kernels for GPUs in the section `.nv_fatbin`. The library must stay, since torch's
start-up code calls into it, but only a CUDA driver reads that section. The loader maps a library by its segments; the
one that holds the section is split in two, so that the section's pages are in no segment and need no place in the file.
Addresses stay as they are. The program headers have room for one more segment because the build-id note, which nobody
reads, gives up its entry. Section headers, which the loader does not read, are dropped: run strip before this.
"""

import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path

PAGE_BYTES = 4096
PT_LOAD, PT_NOTE = 1, 4
ELF64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
GPU_CODE = b".nv_fatbin"


@dataclass(frozen=True)
class Segment:
    """One program header; its fields in the order of the file."""

    kind: int
    flags: int
    offset: int
    address: int
    physical_address: int
    file_bytes: int
    memory_bytes: int
    align: int


@dataclass(frozen=True)
class Cut:
    """The whole pages of the file that go, as file offsets."""

    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.start


def gpu_code_pages(data: bytes) -> Cut:
    """The whole pages inside the GPU code section; raises ValueError where there is none."""
    header = ELF_HEADER.unpack_from(data)
    table, entry_bytes, count, names_index = header[6], header[11], header[12], header[13]
    sections = [SECTION_HEADER.unpack_from(data, table + i * entry_bytes) for i in range(count)]
    names_offset = sections[names_index][4]
    for section in sections:
        start = names_offset + section[0]
        if data[start : data.index(b"\0", start)] == GPU_CODE:
            offset, size = section[4], section[5]
            return Cut(-(-offset // PAGE_BYTES) * PAGE_BYTES, (offset + size) // PAGE_BYTES * PAGE_BYTES)
    raise ValueError(f"no section {GPU_CODE.decode()}")


def segments_of(data: bytes) -> list[Segment]:
    """The program headers."""
    header = ELF_HEADER.unpack_from(data)
    table, entry_bytes, count = header[5], header[9], header[10]
    return [Segment(*PROGRAM_HEADER.unpack_from(data, table + i * entry_bytes)) for i in range(count)]


def without(segments: list[Segment], cut: Cut) -> list[Segment]:
    """The program headers once the cut is made, as many as before; raises ValueError where there is no room."""
    result: list[Segment] = []
    for segment in segments:
        if segment.kind == PT_NOTE:
            continue
        if segment.kind == PT_LOAD and segment.offset <= cut.start and cut.end <= segment.offset + segment.file_bytes:
            result += split(segment, cut)
        elif segment.offset >= cut.end:
            result.append(replace(segment, offset=segment.offset - cut.size_bytes))
        else:
            result.append(segment)
    if len(result) != len(segments):
        raise ValueError(f"{len(result)} program headers do not fit in the place of {len(segments)}")
    return result


def split(segment: Segment, cut: Cut) -> tuple[Segment, Segment]:
    """What lies before the cut and what lies after it, the latter moved up in the file."""
    before_bytes, after_start = cut.start - segment.offset, cut.end - segment.offset
    before = replace(segment, file_bytes=before_bytes, memory_bytes=before_bytes)
    after = replace(
        segment,
        offset=cut.start,
        address=segment.address + after_start,
        physical_address=segment.physical_address + after_start,
        file_bytes=segment.file_bytes - after_start,
        memory_bytes=segment.memory_bytes - after_start,
    )
    return before, after


def drop_gpu_code(data: bytes) -> bytes:
    """The library without its GPU code; raises ValueError for anything but a library that has some."""
    if not data.startswith(ELF64_LITTLE_ENDIAN):
        raise ValueError("not a 64-bit little-endian ELF file")
    cut = gpu_code_pages(data)
    segments = without(segments_of(data), cut)
    header = list(ELF_HEADER.unpack_from(data))
    program_table = header[5]
    header[6] = header[12] = header[13] = 0  # section headers: where, how many, which holds the names
    slim = bytearray(data[: cut.start] + data[cut.end :])
    ELF_HEADER.pack_into(slim, 0, *header)
    for index, segment in enumerate(segments):
        values = (segment.kind, segment.flags, segment.offset, segment.address, segment.physical_address)
        sizes = (segment.file_bytes, segment.memory_bytes, segment.align)
        PROGRAM_HEADER.pack_into(slim, program_table + index * PROGRAM_HEADER.size, *values, *sizes)
    return bytes(slim)


def main() -> None:
    """Rewrite the library and say what it saved."""
    library = Path(sys.argv[1])
    data = library.read_bytes()
    slim = drop_gpu_code(data)
    library.write_bytes(slim)
    print(f"{library.name}: {len(data) / 1e6:.0f} MB -> {len(slim) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
