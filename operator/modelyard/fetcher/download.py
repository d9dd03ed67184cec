"""Brings files from a source into a staging folder: each one complete and verified, or not there.

Memory is bounded by THREADS x BLOCK_BYTES, whatever the model's size.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from modelyard.fetcher.checksums import Crc64Nvme, Verifier
from modelyard.fetcher.failure import FetchError, Reason, StreamBrokenError
from modelyard.fetcher.manifest import RemoteFile
from modelyard.fetcher.source import Source
from modelyard.fetcher.staging import Staging

THREADS = 4

_BARREN_TRIES = 3
"""So many connections in a row may break before a first byte; each byte that comes starts the count anew."""


class _OtherFileFailedError(Exception):
    """Ends the remaining threads of an attempt that has failed already."""


def download(source: Source, files: Iterable[RemoteFile], staging: Staging, on_bytes: Callable[[int], None]) -> None:
    """Downloads what the staging folder lacks, a few files at a time.

    ``on_bytes`` is told each block's size as it is written, and a negative size when a file must come again; it is
    called from several threads. Raises the first FetchError or OSError, after all threads have ended.
    """
    abandoned = threading.Event()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="download") as threads:
        downloads = [
            threads.submit(_download_file, source, file, staging, on_bytes, abandoned)
            for file in files
            if not staging.holds(file)
        ]
        done, waiting = wait(downloads, return_when=FIRST_EXCEPTION)
        abandoned.set()
        for download_ in waiting:
            download_.cancel()
    for download_ in done:
        download_.result()


def _download_file(
    source: Source,
    file: RemoteFile,
    staging: Staging,
    on_bytes: Callable[[int], None],
    abandoned: threading.Event,
) -> None:
    """One file; a checksum that does not match gets a second chance, since a link may have flipped a bit."""
    arriving = staging.arriving(file)
    mismatch = ""
    for _ in range(2):
        mismatch, crc64nvme = _arrive(source, file, arriving, on_bytes, abandoned)
        if not mismatch:
            staging.accept(file, arriving, crc64nvme)
            return
        on_bytes(-file.size_bytes)
    raise FetchError(Reason.CHECKSUM_MISMATCH, mismatch)


def _arrive(
    source: Source,
    file: RemoteFile,
    arriving: Path,
    on_bytes: Callable[[int], None],
    abandoned: threading.Event,
) -> tuple[str, str]:
    """Writes the file's bytes to the disk. Returns what is wrong with them, or an empty text; and their CRC64NVME."""
    crc = Crc64Nvme()
    verifier = Verifier(file.checksum) if file.checksum else None
    with arriving.open("wb", buffering=0) as target:
        for block in _blocks(source, file):
            if abandoned.is_set():
                raise _OtherFileFailedError
            _write_all(target.fileno(), block)
            crc.update(block)
            if verifier:
                verifier.update(block)
            on_bytes(len(block))
        os.fsync(target.fileno())
    if file.checksum is None or verifier is None or verifier.matches():
        return "", crc.digest().hex()
    mismatch = (
        f"the bytes of {file.key} do not match their checksum ({file.checksum.algorithm} {file.checksum.value}, "
        f"computed {verifier.computed()}), twice: upload the file again, or correct the checksum where you stated it"
    )
    return mismatch, ""


def _write_all(descriptor: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _blocks(source: Source, file: RemoteFile) -> Iterator[bytes]:
    """The file's bytes from first to last, over as many connections as it takes."""
    offset = barren_tries = 0
    while offset < file.size_bytes:
        before, cause = offset, "the connection ended early"
        try:
            for block in source.read(file, offset):
                offset += len(block)
                yield block
        except StreamBrokenError as error:
            cause = str(error)
        barren_tries = barren_tries + 1 if offset == before else 0
        if barren_tries == _BARREN_TRIES:
            raise FetchError(
                Reason.ENDPOINT_UNREACHABLE,
                f"{file.key} stopped coming at byte {offset} of {file.size_bytes} ({cause}), {barren_tries} times "
                "in a row: look at the network between this node and the source, and at the source's own log",
            )
