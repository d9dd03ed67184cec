"""Parses S3's answers, from untrusted bytes. Pure, but for the pages that a listing requests.

Formats: Amazon S3 API Reference, "ListObjectsV2", "GetObjectAttributes" and "Error Responses". Other stores omit
fields: each parser here requires only what it needs, and ignores the rest. A listing is complete, or an error.
"""

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote_plus
from xml.parsers import expat

from modelyard.fetcher.content.checksums import is_md5
from modelyard.fetcher.content.remote_file import FILES_LIMIT, too_many_files
from modelyard.fetcher.transport.slowness import StallClock

_OF_AN_OBJECT = {"Key", "Size", "ETag", "LastModified"}
_PARTS_TRUNCATED = "ObjectParts/IsTruncated"
_PARTS_MARKER = "ObjectParts/NextPartNumberMarker"

_NUMBER = re.compile(r"[0-9]{1,18}")
"""A size in bytes: 18 digits fit into 64 bits, and no store has an object of an exabyte."""

_ETAG = re.compile(r"[!#-~]{1,256}")
"""What may stand between the quotes of an entity tag (RFC 9110, section 8.8.3), without the bytes above ASCII."""

_EMPTY_PAGES_LIMIT = 100
"""In a row. S3 itself gives an empty page now and then, where it has passed over many removed versions."""

_DEPTH_LIMIT = 16
_ITEMS_LIMIT = 50_000
_TEXT_LIMIT_CHARACTERS = 16 * 1024


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
    message: str = ""
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


def listed_below(
    folder: str, page_at: Callable[[str], Page], clock_s: Callable[[], float] = time.monotonic
) -> Iterator[ListedObject]:
    """The objects whose keys begin with ``folder``, without the marks that consoles make for folders.

    ``page_at`` returns a token's page, the first one for an empty token. Raises UnreadableError unless the pages can be
    exactly that folder's: a part of a model must not pass for a whole one.
    """
    keys: set[str] = set()
    tokens = {""}
    token = ""
    clock = StallClock(now_s=clock_s)
    empty_pages = 0
    while True:
        page = page_at(token)
        for each in page.objects:
            _check_listed(each, folder, keys)
            if not (each.key.endswith("/") and each.size_bytes == 0):
                yield each
        token = page.next_token
        if not token:
            return
        if token in tokens:
            raise UnreadableError("it names the same continuation token twice and never ends")
        tokens.add(token)
        if page.objects:
            empty_pages = 0
            clock.came_on()
            continue
        empty_pages += 1
        if empty_pages >= _EMPTY_PAGES_LIMIT or clock.is_over:
            raise UnreadableError(f"it continues after {empty_pages} pages without an object")


def _check_listed(listed: ListedObject, folder: str, keys: set[str]) -> None:
    if not listed.key.startswith(folder):
        raise UnreadableError(
            f"it includes {listed.key[:200]!r}, which is not below {folder!r}: the store ignores prefix"
        )
    if listed.key in keys:
        raise UnreadableError(f"it lists {listed.key[:200]!r} twice")
    keys.add(listed.key)
    if len(keys) > 2 * FILES_LIMIT:
        raise too_many_files()


class UnreadableError(Exception):
    """The answer cannot be parsed; the text names what it lacks, or is instead."""


class XmlFields:
    """The name of the root, the texts of the wanted elements by their paths below it, and those of each item."""

    def __init__(self, wanted: Collection[str], item: str, wanted_of_item: Collection[str]) -> None:
        self.root = ""
        self.fields: dict[str, str] = {}
        self.items: list[dict[str, str]] = []
        self._wanted = wanted
        self._item = item
        self._wanted_of_item = wanted_of_item
        self._path: list[str] = []
        self._text: list[str] = []
        self._text_characters = 0

    def parse(self, document: bytes) -> Self:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self._begin, self._end
        parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = self._add_text, self._refuse_doctype
        try:
            parser.Parse(document, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise UnreadableError(f"it is not XML ({error})") from error
        return self

    def _begin(self, name: str, _: object) -> None:
        self._path.append(name.rpartition(":")[2])
        self._forget_text()
        if len(self._path) > _DEPTH_LIMIT:
            raise UnreadableError(f"its elements are nested more than {_DEPTH_LIMIT} deep")
        if len(self._path) == 1:
            self.root = self._path[0][:100]
        elif "/".join(self._path[1:]) == self._item:
            self.items.append({})
            if len(self.items) > _ITEMS_LIMIT:
                raise UnreadableError(f"it has more than {_ITEMS_LIMIT} entries")

    def _add_text(self, text: str) -> None:
        self._text_characters += len(text)
        if self._text_characters > _TEXT_LIMIT_CHARACTERS:
            raise UnreadableError(f"it contains a text longer than {_TEXT_LIMIT_CHARACTERS} characters")
        self._text.append(text)

    def _end(self, _: str) -> None:
        here, last = "/".join(self._path[1:]), self._path[-1]
        if here in self._wanted:
            self.fields[here] = "".join(self._text)
        elif last in self._wanted_of_item and here == f"{self._item}/{last}":
            self.items[-1][last] = "".join(self._text)
        self._path.pop()
        self._forget_text()

    def _forget_text(self) -> None:
        self._text.clear()
        self._text_characters = 0

    def _refuse_doctype(self, *_: object) -> None:
        raise UnreadableError("it is a web page or another document with a DOCTYPE")


def read_xml(
    document: bytes, wanted: Collection[str], item: str = "", wanted_of_item: Collection[str] = ()
) -> XmlFields:
    """The elements at the paths in ``wanted``, and in each element at the path ``item`` those of ``wanted_of_item``.

    Raises UnreadableError for invalid XML, and for what no sensible answer needs: its own entities, endless nesting,
    texts of many kilobytes.
    """
    return XmlFields(wanted, item, wanted_of_item).parse(document)
