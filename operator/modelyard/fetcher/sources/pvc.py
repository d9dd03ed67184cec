"""Models on a volume of the namespace: the claim is mounted here whole, and only looked at.

The engine's container mounts the model's folder of the same volume. Were the folder missing then, the kubelet would
make an empty one or refuse the pod with no hint to the cause: so the look comes first, by the engine's own user.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.content.remote_file import FILES_LIMIT, too_many_files
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.sources.source import MountedModel

_NAMES_SHOWN = 10
_MADE_BY_FILE_SYSTEMS = "lost+found"


def open_source(configuration: Configuration) -> MountedModel:
    """The model of a `pvc://claim/folder` URI.

    Raises FetchError when the folder is not there, is empty, or holds what the pod's user cannot read, and InvalidError
    when the URI leaves the claim.
    """
    claim, _, path = configuration.uri.removeprefix("pvc://").partition("/")
    if ".." in path.split("/"):
        raise InvalidError(
            Reason.INVALID_CONFIGURATION, f"spec.model.uri is {configuration.uri!r}; it must not contain '..'"
        )
    look = _Look(claim, configuration.claim, configuration.claim / path)
    try:
        return MountedModel(look.size_bytes())
    except OSError as error:
        raise FetchError(
            Reason.SOURCE_ERROR,
            f"the volume of claim {claim!r} cannot be read ({error.strerror}): check the volume's server or driver",
        ) from error


class _Look:
    """One look at a folder of a claim, as the engine will see it."""

    def __init__(self, claim: str, root: Path, folder: Path) -> None:
        self._claim = claim
        self._root = root
        self._folder = folder

    def size_bytes(self) -> int:
        """Of all files in the folder."""
        self._check_folder()
        count = size_bytes = 0
        for file in self._files():
            count += 1
            if count > FILES_LIMIT:
                raise too_many_files()
            self._check_readable(file, os.R_OK)
            size_bytes += file.stat().st_size
        if not count:
            raise self._missing(f"{self._place(self._folder)} contains no files")
        return size_bytes

    def _check_folder(self) -> None:
        """Descends to the folder, so that the error names the part of the path that fails."""
        here = self._root
        self._check_readable(here, os.R_OK | os.X_OK)
        for part in self._folder.relative_to(self._root).parts:
            below = here / part
            self._check_link(below, self._root)
            if not below.exists():
                names = sorted(path.name for path in here.iterdir())[: _NAMES_SHOWN + 1]
                there = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
                raise self._missing(f"{self._place(here)} does not contain {part!r} (it contains {there or 'nothing'})")
            if not below.is_dir():
                raise self._missing(f"{self._place(below)} is a file, but a model must be a folder")
            self._check_readable(below, os.R_OK | os.X_OK)
            here = below

    def _files(self) -> Iterator[Path]:
        for folder, folders, files in os.walk(self._folder):
            here = Path(folder)
            if here == self._root and _MADE_BY_FILE_SYSTEMS in folders:
                folders.remove(_MADE_BY_FILE_SYSTEMS)
            for name in folders:
                self._check_link(here / name, self._folder)
                self._check_readable(here / name, os.R_OK | os.X_OK)
            for name in files:
                self._check_link(here / name, self._folder)
                yield here / name

    def _check_link(self, path: Path, within: Path) -> None:
        """A link must lead to what its reader sees: the claim for the folder itself, the folder for all in it."""
        if not path.is_symlink():
            return
        if not path.resolve().is_relative_to(within.resolve()):
            raise FetchError(
                Reason.UNSAFE_KEY,
                f"{self._place(path)} is a link to {str(path.readlink())!r}, which the engine cannot see: replace it "
                "with the file itself (cp --dereference)",
            )
        if not path.exists():
            raise self._missing(f"{self._place(path)} is a link to {str(path.readlink())!r}, which does not exist")

    def _check_readable(self, path: Path, mode: int) -> None:
        if os.access(path, mode):
            return
        about = path.stat()
        raise FetchError(
            Reason.ACCESS_DENIED,
            f"this pod cannot read {self._place(path)}: it belongs to {about.st_uid}:{about.st_gid} with mode "
            f"{about.st_mode & 0o7777:04o}, and the pod runs as user {os.getuid()} with the groups "
            f"{', '.join(map(str, sorted({os.getgid(), *os.getgroups()})))} (run_as_user and fs_group in the "
            "operator's settings): grant read permission to one of these groups, or to all (chmod -R a+rX)",
        )

    def _missing(self, problem: str) -> FetchError:
        return FetchError(
            Reason.MODEL_NOT_FOUND,
            f"{problem}: correct spec.model.uri, or put the model there; the fetch then continues",
        )

    def _place(self, path: Path) -> str:
        """A path as users see it."""
        inside = path.relative_to(self._root)
        return f"claim {self._claim!r}" if inside == Path() else f"{str(inside)!r} in claim {self._claim!r}"
