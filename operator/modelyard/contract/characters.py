"""Which characters neither a path nor a message may hold, because they change how everything after them is shown."""

import unicodedata

_NOT_TEXT = {"Cc", "Cs"}
"""Control characters, and the halves of surrogate pairs, which no UTF-8 can hold (Unicode's general categories)."""

_OVERRIDES = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Embeddings, overrides and isolates of the writing direction: a name that holds one is shown as another one."""


def refused_character(text: str) -> str:
    """The first character that no path may hold, as U+0009; empty if there is none. All other text is a name."""
    for character in text:
        if unicodedata.category(character) in _NOT_TEXT or character in _OVERRIDES:
            return f"U+{ord(character):04X}"
    return ""
