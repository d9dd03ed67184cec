"""What a person may choose for a run, by environment variables."""

import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.background_process import REPOSITORY

MIB = 2**20
_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}


class InvalidOptionError(Exception):
    """What is wrong, and what to do about it."""


@dataclass(frozen=True)
class Options:
    """``rounds`` are those that count: one more comes before, in which every result is compared byte by byte."""

    size_bytes: int
    rounds: int
    folder: Path
    source_folder: Path
    nginx: Path
    only: frozenset[str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises InvalidOptionError for a value that is no number, and where set-up's nginx is not named."""
        nginx = environment.get("MODELYARD_NGINX")
        if not nginx:
            raise InvalidOptionError("MODELYARD_NGINX is not set: run `make bench-fetch`, which sets it")
        return cls(
            size_bytes=_number(environment, "BENCH_SIZE_MB", 2048, at_least=64) * MIB,
            rounds=_number(environment, "BENCH_ROUNDS", 5, at_least=1),
            folder=Path(environment.get("BENCH_FOLDER") or REPOSITORY / "build/tmp/bench").absolute(),
            source_folder=Path(environment.get("BENCH_SOURCE_FOLDER") or "/dev/shm"),
            nginx=Path(nginx),
            only=frozenset(environment.get("BENCH_CASES", "").replace(",", " ").split()),
        )

    def check_cases(self, known: Collection[str]) -> None:
        """Raises InvalidOptionError for the name of a case that there is none of."""
        if unknown := self.only.difference(known):
            raise InvalidOptionError(f"BENCH_CASES names {sorted(unknown)}; there are {', '.join(sorted(known))}")


def _number(environment: Mapping[str, str], name: str, default: int, at_least: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < at_least:
        raise InvalidOptionError(f"{name} is {text!r}: it must be a whole number, {at_least} or more")
    return int(text)


def disk_of(folder: Path) -> str:
    """The kind of file system that the folder is on. Raises InvalidOptionError where that is memory and no disk."""
    folder.mkdir(parents=True, exist_ok=True)
    found = subprocess.run(
        ("findmnt", "--noheadings", "--output=FSTYPE", "--target", folder), capture_output=True, text=True, check=True
    )
    kind = found.stdout.split()[-1]  # of file systems that are mounted over each other, the last is what is seen
    if kind in _IN_MEMORY:
        raise InvalidOptionError(
            f"{folder} is on {kind}, which is memory: let BENCH_FOLDER name a folder on the disk that models go to"
        )
    return kind
