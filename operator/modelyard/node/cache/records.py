"""Reads the records of entries (contract/entry_record.py). Their namespace wrote them: they may hold anything."""

from modelyard.contract import entry_record
from modelyard.contract.cache_layout import RECORD_SUFFIX
from modelyard.node.host import untrusted_files

SIZE_LIMIT_BYTES = 2 << 20
"""Ten thousand files. As objects a record takes up to forty times its size, of this process's memory."""


def read(folder: str, part: int) -> tuple[entry_record.FileRecord, ...] | None:
    """The files of the entry ``folder``; None if there is no usable record."""
    try:
        with untrusted_files.opened_folder("records", part) as records:
            text = untrusted_files.read_file(f"{folder}{RECORD_SUFFIX}", records, SIZE_LIMIT_BYTES)
            return entry_record.parse(text).files
    except (OSError, ValueError):
        return None
