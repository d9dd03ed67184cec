"""Parses S3's answers, from untrusted bytes. Pure.

Formats: Amazon S3 API Reference, "ListObjectsV2", "GetObjectAttributes" and "Error Responses". Other stores omit
fields: each parser here requires only what it needs, and ignores the rest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from modelyard.fetcher.content.checksums import is_md5
from modelyard.fetcher.sources.s3.xml_fields import UnreadableError, read_xml

_OF_AN_OBJECT = {"Key", "Size", "ETag", "LastModified"}
_PARTS_TRUNCATED = "ObjectParts/IsTruncated"
_PARTS_MARKER = "ObjectParts/NextPartNumberMarker"
_NUMBER = re.compile(r"[0-9]{1,18}")
"""A size in bytes: 18 digits fit into 64 bits, and no store has an object of an exabyte."""

_ETAG = re.compile(r"[!#-~]{1,256}")
"""What may stand between the quotes of an entity tag (RFC 9110, section 8.8.3), without the bytes above ASCII."""


@dataclass(frozen=True)
class ListedObject:
    """One object of a listing. ``etag`` is without its quotes; ``modified`` is the store's own text."""

    key: str
    size_bytes: int
    etag: str
    modified: str = ""


@dataclass(frozen=True)
class Page:
    """One page of a listing; without a ``next_token`` it is the last."""

    objects: tuple[ListedObject, ...]
    next_token: str


@dataclass(frozen=True)
class Parts:
    """Sizes, in bytes, of an upload's parts; without a ``next_marker`` no more follow."""

    sizes: tuple[int, ...]
    next_marker: str


@dataclass(frozen=True)
class Failure:
    """An error answer: its HTTP status, and S3's code, message and region, each empty if it has none."""

    status: int
    code: str = ""
    said: str = ""
    region: str = ""


def bare_etag(header: str) -> str:
    """An entity tag without its quotes and without the mark of a weak one (RFC 9110, section 8.8.3)."""
    return header.strip().removeprefix("W/").strip('"')


def is_same_etag(one: str, other: str) -> bool:
    """Whether two bare entity tags name one version: an MD5 may be written in capitals at one place of a store."""
    return one == other or (is_md5(one) and one.lower() == other.lower())


def size_of(text: str | None) -> int | None:
    """A size in bytes; None if it is malformed."""
    return int(text) if text and _NUMBER.fullmatch(text) else None


def read_page(document: bytes) -> Page:
    """A page of ListObjectsV2. Raises UnreadableError."""
    read = read_xml(document, {"IsTruncated", "NextContinuationToken", "EncodingType"}, "Contents", _OF_AN_OBJECT)
    if read.root != "ListBucketResult":
        raise UnreadableError(f"it is <{read.root}>, not a listing")
    is_encoded = read.fields.get("EncodingType") == "url"
    objects = tuple(_listed(item, is_encoded=is_encoded) for item in read.items)
    token = read.fields.get("NextContinuationToken", "")
    is_truncated = read.fields.get("IsTruncated", "false").strip().lower() == "true"
    if is_truncated and not token:
        raise UnreadableError("it is truncated (IsTruncated) but has no NextContinuationToken")
    return Page(objects, token if is_truncated else "")


def _listed(item: Mapping[str, str], *, is_encoded: bool) -> ListedObject:
    if not item.get("Key"):
        raise UnreadableError("an object has no Key")
    try:
        key = unquote_plus(item["Key"], errors="strict") if is_encoded else item["Key"]
    except UnicodeDecodeError as error:
        raise UnreadableError(f"the key {item['Key'][:200]!r} is not UTF-8") from error
    size_bytes, etag = size_of(item.get("Size", "").strip()), bare_etag(item.get("ETag", ""))
    if size_bytes is None:
        raise UnreadableError(f"the object {key[:200]!r} has no valid Size")
    if not _ETAG.fullmatch(etag) and not key.endswith("/"):
        raise UnreadableError(f"the object {key[:200]!r} has no valid ETag")
    return ListedObject(key, size_bytes, etag, item.get("LastModified", ""))


def read_parts(document: bytes) -> Parts:
    """The parts of an object out of GetObjectAttributes; none if the store names none. Raises UnreadableError."""
    read = read_xml(document, {_PARTS_TRUNCATED, _PARTS_MARKER}, "ObjectParts/Part", {"Size"})
    sizes = tuple(size_of(item.get("Size", "").strip()) for item in read.items)
    if read.root not in {"GetObjectAttributesResponse", "GetObjectAttributesOutput"} or None in sizes:
        raise UnreadableError("it has no sizes of parts")
    is_truncated = read.fields.get(_PARTS_TRUNCATED, "").lower() == "true"
    marker = read.fields.get(_PARTS_MARKER, "") if is_truncated else ""
    return Parts(tuple(size for size in sizes if size is not None), marker if _NUMBER.fullmatch(marker) else "")


def read_failure(status: int, headers: Mapping[str, str], document: bytes) -> Failure:
    """Parses an error answer as far as possible: of a document that is not S3's, only the status counts."""
    fields: Mapping[str, str] = {}
    try:
        read = read_xml(document, {f"{at}{name}" for at in ("", "Error/") for name in ("Code", "Message", "Region")})
        if read.root in {"Error", "ErrorResponse"}:
            fields = {name.removeprefix("Error/"): text for name, text in read.fields.items()}
    except UnreadableError:
        pass
    region = headers.get("x-amz-bucket-region") or fields.get("Region", "")
    return Failure(status, _shown(fields.get("Code", "")), _shown(fields.get("Message", "")), region)


def is_error(document: bytes) -> bool:
    """Whether the document is an error, whatever the status that it came with."""
    try:
        return read_xml(document, ()).root == "Error"
    except UnreadableError:
        return False


def _shown(text: str) -> str:
    """A store's text as it may stand in a message."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:1000]).split())[:300]
