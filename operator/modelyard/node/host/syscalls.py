"""System calls that Python lacks, by number: those since Linux 5.0 have the same number on every architecture.

Those for mounts take file descriptors: a path that others can change is resolved once, and that result is used. Each
raises OSError. mount_setattr is the newest, from Linux 5.12.
"""

import ctypes
import os
import platform
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_OPEN_TREE = 428
_MOVE_MOUNT = 429
_OPENAT2 = 437
_MOUNT_SETATTR = 442
_QUOTACTL_FD = 443

_OPEN_TREE_CLONE = 1
_AT_EMPTY_PATH = 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOVE_MOUNT_T_EMPTY_PATH = 0x40

_UMOUNT_NOFOLLOW = 0x08
_MNT_DETACH = 0x02

MOUNT_READ_ONLY = 0x01
MOUNT_NO_SUID = 0x02
MOUNT_NO_DEVICES = 0x04

RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_IDLE = 3 << 13
_LOWEST_PRIORITY = 19

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, subject: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
    return result


def _syscall(number: int, subject: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> int:
    wide = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *wide)), subject)


def open_beneath(folder: int, path: str, flags: int) -> int:
    """Opens ``path`` below the open ``folder``: no part of it may be a symlink or lead out of the folder."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    return _syscall(_OPENAT2, path, folder, os.fsencode(path), how, len(how))


def bind_mount(source: int, target: int, attributes: int) -> None:
    """Mounts the folder ``source`` on the folder ``target``, both open.

    The mount has its ``attributes`` (MOUNT_*) before anybody can see it. To set them on a finished one would change
    only this process's view: changes of flags do not propagate to the host and its pods.
    """
    tree = _syscall(_OPEN_TREE, "open_tree", source, b"", _AT_EMPTY_PATH | _OPEN_TREE_CLONE | os.O_CLOEXEC)
    try:
        changes = struct.pack("=QQQQ", attributes, 0, 0, 0)
        _syscall(_MOUNT_SETATTR, "mount_setattr", tree, b"", _AT_EMPTY_PATH, changes, len(changes))
        how = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
        _syscall(_MOVE_MOUNT, "move_mount", tree, b"", target, b"", how)
    finally:
        os.close(tree)


def unmount(path: str) -> None:
    """Detaches the mount at ``path`` at once; it ends when it is no longer in use. Follows no symlink."""
    _checked(int(_libc.umount2(os.fsencode(path), _UMOUNT_NOFOLLOW | _MNT_DETACH)), path)


def quotactl(folder: int, command: int, number: int, argument: bytearray) -> None:
    """A call about the quotas of the file system of an open folder; ``argument`` is read or filled. Linux 5.14."""
    buffer = (ctypes.c_char * len(argument)).from_buffer(argument)
    _syscall(_QUOTACTL_FD, "quotactl_fd", folder, command, number, buffer)


@contextmanager
def idle() -> Iterator[None]:
    """Gives the calling thread idle priority for disk and processor. It must hold no lock meanwhile."""
    _set_priority(_LOWEST_PRIORITY, _IOPRIO_IDLE)
    try:
        yield
    finally:
        _set_priority(0, 0)


def _set_priority(nice: int, io_class: int) -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    if number := _IOPRIO_SET.get(platform.machine()):
        _syscall(number, "ioprio_set", _IOPRIO_WHO_PROCESS, 0, io_class)
