"""A model that is arriving: what is on the disk already, so that a fetch that was killed goes on where it ended."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from modelyard.fetcher.manifest import RemoteFile
from modelyard.layout import FOLDER_MODE


def make_folder(folder: Path) -> None:
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.lstat().st_size == size_bytes
    except (FileNotFoundError, NotADirectoryError):
        return False


class Staging:
    """One digest's staging folder. ``model`` is the folder in it that becomes the entry, once all files are whole."""

    def __init__(self, folder: Path) -> None:
        self.model = folder / "model"
        self._arriving = folder / "arriving"
        shutil.rmtree(self._arriving, ignore_errors=True)
        self._sums = folder / "crc64nvme"
        make_folder(self.model)
        make_folder(self._arriving)
        make_folder(self._sums)

    def holds(self, file: RemoteFile) -> bool:
        """Whether the whole file is here, verified and synced."""
        return has_size(self.model / file.path, file.size_bytes)

    def held_bytes(self, files: Iterable[RemoteFile]) -> int:
        """How much of the files need not come again."""
        return sum(file.size_bytes for file in files if self.holds(file))

    def crc64nvme(self, file: RemoteFile) -> str:
        """Of a file that is here whole: 16 hexadecimal digits."""
        return (self._sums / _flat_name(file)).read_text()

    def arriving(self, file: RemoteFile) -> Path:
        """Where to write the file's bytes: one flat name for each path."""
        return self._arriving / _flat_name(file)

    def accept(self, file: RemoteFile, arrived: Path, crc64nvme: str) -> None:
        """The bytes at ``arrived`` are verified and synced: they are the file now."""
        (self._sums / _flat_name(file)).write_text(crc64nvme)
        target = self.model / file.path
        make_folder(target.parent)
        arrived.rename(target)


def _flat_name(file: RemoteFile) -> str:
    return hashlib.sha256(str(file.path).encode()).hexdigest()
