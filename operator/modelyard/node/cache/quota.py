"""Project quotas: the file system itself stops a namespace's part from growing, where it was mounted with them.

ext4 (feature `project`, mounted with `prjquota`) and XFS (mounted with `pquota`) have them; nothing here is needed for
the cache to work. Files in a part belong to its project because its folders hand theirs on. (The owner of a file may
take it out of its project, except in a user namespace: what a pod writes on purpose is only measured.)
"""

import errno
import fcntl
import hashlib
import logging
import os
import struct
import threading

from modelyard.node.host import syscalls, untrusted_files

_GET_ATTRIBUTES = 0x801C581F  # FS_IOC_FSGETXATTR (linux/fs.h)
_SET_ATTRIBUTES = 0x401C5820  # FS_IOC_FSSETXATTR
_ATTRIBUTES = struct.Struct("=IIIII8x")  # struct fsxattr: flags, extent size, extents, project, extent size of copies
_HANDED_ON = 0x200  # FS_XFLAG_PROJINHERIT

_PROJECT = 2  # PRJQUOTA (linux/quota.h)
_SET_QUOTA = 0x800008 << 8 | _PROJECT  # QCMD(Q_SETQUOTA, PRJQUOTA)
_GET_STATE = (ord("X") << 8 | 5) << 8 | _PROJECT  # QCMD(Q_XGETQSTAT, PRJQUOTA) (linux/dqblk_xfs.h)
_ENFORCED = 1 << 5  # FS_QUOTA_PDQ_ENFD
_QUOTA = struct.Struct("=8QI4x")  # struct if_dqblk: bytes hard, soft, used; files hard, soft, used; two times; valid
_BLOCK_BYTES = 1024  # what if_dqblk counts bytes in
_LIMITS_ARE_VALID = 1 | 4  # QIF_BLIMITS | QIF_ILIMITS

_FIRST_PROJECT = 1 << 30
"""Above what people and kubelets number by hand, from 1 and from 1048577 on."""

_log = logging.getLogger("modelyard.node")


def project(namespace: str) -> int:
    """The number of a namespace's project, one of 2^30.

    Two given namespaces collide with probability 1e-9; among 1,000 on one node, any two do with 5e-4.
    """
    return _FIRST_PROJECT + int.from_bytes(hashlib.sha256(namespace.encode()).digest()[:4]) % _FIRST_PROJECT


class Quotas:
    """The quotas of one file system; every method does nothing where it enforces none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._enforced: dict[int, bool] = {}

    def are_enforced(self, folder: int) -> bool:
        """Whether the file system of an open folder stops projects at their limits."""
        device = os.fstat(folder).st_dev
        with self._lock:
            if device not in self._enforced:
                self._enforced[device] = _are_enforced(folder)
                _log.info("project quotas: %s", "enforced" if self._enforced[device] else "none")
            return self._enforced[device]

    def adopt(self, namespace: str, folder: int) -> None:
        """Assigns what is created in the open folder from now on to the namespace's project. Raises OSError."""
        if not self.are_enforced(folder):
            return
        attributes = bytearray(_ATTRIBUTES.size)
        fcntl.ioctl(folder, _GET_ATTRIBUTES, attributes)
        flags, extent_bytes, extents, known, copy_extent_bytes = _ATTRIBUTES.unpack(attributes)
        wanted = (flags | _HANDED_ON, project(namespace))
        if (flags, known) != wanted:
            changed = _ATTRIBUTES.pack(wanted[0], extent_bytes, extents, wanted[1], copy_extent_bytes)
            fcntl.ioctl(folder, _SET_ATTRIBUTES, changed)

    def limit(self, namespace: str, size_bytes: int, folder: int) -> None:
        """Lets the namespace's project grow to this size; 0 ends the limit. Raises OSError."""
        if not self.are_enforced(folder):
            return
        blocks = -(-size_bytes // _BLOCK_BYTES)
        files = untrusted_files.MAX_FILES if size_bytes else 0
        wanted = _QUOTA.pack(blocks, 0, 0, files, 0, 0, 0, 0, _LIMITS_ARE_VALID)
        syscalls.quotactl(folder, _SET_QUOTA, project(namespace), bytearray(wanted))


def _are_enforced(folder: int) -> bool:
    state = bytearray(256)  # struct fs_quota_stat has 80; a version byte, then the flags
    try:
        syscalls.quotactl(folder, _GET_STATE, 0, state)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOTSUP, errno.ESRCH, errno.EINVAL, errno.ENOTBLK, errno.ENODEV):
            return False
        raise
    return bool(struct.unpack_from("=H", state, 2)[0] & _ENFORCED)
