"""Reads and removes folders that tenants write to, by descriptors only.

A writer can plant links that lead out of the folder, pipes that block their reader, names that change between two
reads, trees of any depth and size. So nothing here follows a link, opens anything but regular files and folders, walks
without a limit, or leaves the file system that it began on.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MAX_DEPTH = 32
"""Folders below folders that are measured. vLLM's compile cache, the deepest thing that is meant to be here, has 8."""
MAX_FILES = 50_000
"""Names that are looked at in one walk: a tenth of a second of stat, and 40 MiB of answers when they lie in one folder.
A compile cache has a few thousand."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextmanager
def opened_folder(name: str, parent: int | None = None) -> Iterator[int]:
    """A descriptor of the folder ``name``; below ``parent``, if given, of which it must be a plain name.

    Raises OSError: ENOTDIR for a symlink or anything else that is no folder.
    """
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def folder_names(folder: int) -> list[str]:
    """The names in a folder, one more than MAX_FILES at most; bytes that are no text come as Python escapes them."""
    with os.scandir(folder) as entries:
        return [entry.name for entry, _ in zip(entries, range(MAX_FILES + 1), strict=False)]


def status(name: str, parent: int) -> os.stat_result | None:
    """What ``name`` is, a symlink itself rather than its target; None if nothing has that name."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def listed(name: str, parent: int) -> dict[str, os.stat_result]:
    """The status, by name, of all that the folder ``name`` holds ("": ``parent`` itself); empty if it is missing."""
    try:
        with opened_folder(name or ".", parent) as folder:
            return {each: found for each in folder_names(folder) if (found := status(each, folder)) is not None}
    except OSError:
        return {}


def open_file(name: str, parent: int) -> int:
    """A descriptor for reading of a regular file. Raises OSError: a link, a pipe or a device is refused (EINVAL)."""
    descriptor = os.open(name, _FILE, dir_fd=parent)
    if not is_file(descriptor):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", name)
    return descriptor


def is_file(descriptor: int) -> bool:
    """Whether the descriptor is of a regular file."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def read_file(name: str, parent: int, limit_bytes: int) -> bytes:
    """The content of a small regular file. Raises OSError: EFBIG when it is larger than ``limit_bytes``."""
    with open(open_file(name, parent), "rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, "larger than it can be", name)
    return content


def read_link(name: str, parent: int) -> str | None:
    """Where the symlink points; None for anything else."""
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError:
        return None


@dataclass
class Size:
    """What a walk found. ``is_whole``: it came to the end, so that ``size_bytes`` is all that there is."""

    size_bytes: int = 0
    files: int = 0
    is_whole: bool = True


def measure(name: str, parent: int, size: Size | None = None) -> Size:
    """The disk space (allocated blocks) of a file or of a folder and all below it, added to ``size``.

    A file with several names counts under each. Files that vanish meanwhile do not count.
    """
    size = size or Size()
    _measure(name, parent, size, depth=0)
    return size


def _measure(name: str, parent: int, size: Size, depth: int) -> None:
    try:
        _measure_present(name, parent, os.stat(name, dir_fd=parent, follow_symlinks=False), size, depth)
    except (FileNotFoundError, NotADirectoryError):
        return  # gone, or something else, since it was listed
    except OSError:
        size.is_whole = False


def _measure_present(name: str, parent: int, found: os.stat_result, size: Size, depth: int) -> None:
    if depth > MAX_DEPTH or size.files >= MAX_FILES:
        size.is_whole = False
        return
    size.size_bytes += found.st_blocks * 512
    size.files += 1
    if not stat.S_ISDIR(found.st_mode):
        return
    with opened_folder(name, parent) as folder:
        if os.fstat(folder).st_dev != found.st_dev:
            return
        for inner in folder_names(folder):
            if not size.is_whole:
                return
            _measure(inner, folder, size, depth + 1)


def empty(trash: int, limit: int = MAX_FILES) -> bool:
    """Empties the folder ``trash``, ``limit`` names at most; returns whether it is empty now.

    A folder inside is taken from its owner first, so that no process that still has it open can add to it; its own
    folders are moved up into the trash before it goes, so that depth costs nothing. Only the agent may write to
    ``trash`` itself.
    """
    left = limit
    while left > 0:
        names = folder_names(trash)
        if not names:
            return True
        removed = 0
        for name in names:
            removed += _remove(name, trash, left - removed)
        if not removed:
            return False
        left -= removed
    return False


def _remove(name: str, trash: int, limit: int) -> int:
    """Removes one thing in the trash as far as ``limit`` names allow; the number of names that it removed or moved."""
    try:
        os.unlink(name, dir_fd=trash)
    except IsADirectoryError:
        return _remove_folder(name, trash, limit)
    return 1


def _remove_folder(name: str, trash: int, limit: int) -> int:
    done = 0
    with opened_folder(name, trash) as folder:
        os.fchown(folder, 0, 0)
        os.fchmod(folder, stat.S_IRWXU)
        for inner in folder_names(folder):
            if done >= limit:
                return done
            try:
                os.unlink(inner, dir_fd=folder)
            except IsADirectoryError:
                discard(inner, folder, trash)
            done += 1
    with contextlib.suppress(OSError):  # filled again while it was still another's: the next round has it
        os.rmdir(name, dir_fd=trash)
        done += 1
    return done


def discard(name: str, parent: int, trash: int) -> str:
    """Moves ``name`` into the trash at once; the name that it has there. Raises OSError, FileNotFoundError if gone."""
    new = _free_name(trash)
    os.rename(name, new, src_dir_fd=parent, dst_dir_fd=trash)
    return new


def _free_name(folder: int) -> str:
    while True:
        name = os.urandom(8).hex()
        if status(name, folder) is None:
            return name
