"""Extracts fields from an untrusted XML document; keeps nothing else. Pure."""

from collections.abc import Collection
from typing import Self
from xml.parsers import expat

_DEPTH_LIMIT = 16
_ITEMS_LIMIT = 50_000
_TEXT_LIMIT_CHARACTERS = 16 * 1024


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
