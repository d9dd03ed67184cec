"""What a server says of the bytes that it sends, held against those that were asked for. Pure."""

import re
from collections.abc import Mapping

from modelyard.fetcher.transport.connection import Head

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def range_header(offset: int, length: int) -> str:
    """The value of a Range header (RFC 9110, section 14.1.2)."""
    return f"bytes={offset}-{offset + length - 1}"


def begins_at(head: Head) -> int | None:
    """The offset in the file of the body's first byte; None where the answer does not say what it is."""
    if head.status == 200:
        return 0
    span = _CONTENT_RANGE.fullmatch(head.headers.get("content-range", ""))
    return int(span[1]) if span else None


def file_size(headers: Mapping[str, str], status: int) -> int | None:
    """The whole file's size, in bytes; None where the answer does not tell it."""
    if status == 200:
        length = headers.get("content-length", "")
        return int(length) if length.isdecimal() else None
    span = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    return int(span[3]) if span and span[3] != "*" else None
