"""What is fetched: files of random bytes, made anew for each run, with the checksums that S3 would store."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from awscrt import checksums

_BLOCK_BYTES = 16 * 2**20
_SMALL_FILES = {"config.json": 1_200, "generation_config.json": 200, "tokenizer.json": 2_100_000}
PREFIX = "model"
"""Of every object's key, and the name of the model's folder."""


@dataclass(frozen=True)
class ModelFile:
    """``crc64nvme`` is written as S3 writes it: big-endian, in base64."""

    name: str
    size_bytes: int
    crc64nvme: str


@dataclass(frozen=True)
class Model:
    """The files as they lie in ``folder``, which is called PREFIX."""

    folder: Path
    files: tuple[ModelFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def large_model(parent: Path, size_bytes: int) -> Model:
    """Four large files of ``size_bytes`` together, and what a model has beside its weights."""
    return _make(parent, {f"weights-{number}.bin": size_bytes // 4 for number in range(1, 5)} | _SMALL_FILES)


def tiny_files(parent: Path, count: int) -> Model:
    """As many files of 16 KiB: all the work is in requests, none in bytes."""
    return _make(parent, {f"file-{number}.bin": 16384 for number in range(count)})


def _make(parent: Path, sizes_bytes: dict[str, int]) -> Model:
    folder = parent / PREFIX
    folder.mkdir(parents=True)
    return Model(folder, tuple(_fill(folder / name, size_bytes) for name, size_bytes in sizes_bytes.items()))


def _fill(path: Path, size_bytes: int) -> ModelFile:
    crc, left_bytes = 0, size_bytes
    with path.open("wb") as file:
        while left_bytes:
            block = os.urandom(min(left_bytes, _BLOCK_BYTES))
            crc = checksums.crc64nvme(block, crc)
            file.write(block)
            left_bytes -= len(block)
    return ModelFile(path.name, size_bytes, base64.b64encode(crc.to_bytes(8, "big")).decode())
