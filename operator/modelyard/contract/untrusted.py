"""Reads single values that tenants may have written: None for what is not of the form, never a guess and never zero."""

import re

LARGEST_COUNT = 2**53
"""Beyond it JSON numbers are not exact, and no model has as many bytes."""

LONGEST_S = 366 * 86_400


def bounded(text: str, length: int) -> str:
    """``text`` on one line, without control characters, at most ``length`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * length]).split())
    return line if len(line) <= length else line[: length - 3] + "..."


def text(value: object, length: int) -> str | None:
    """A text that is not empty, bounded."""
    return bounded(value, length) or None if isinstance(value, str) else None


def matching(form: re.Pattern[str], value: object) -> str | None:
    """A text that is of the form as a whole."""
    return value if isinstance(value, str) and form.fullmatch(value) else None


def count(value: object) -> int | None:
    """A whole number from 0 to LARGEST_COUNT."""
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None


def duration_s(value: object) -> float | None:
    """Seconds, from 0 to LONGEST_S."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= LONGEST_S else None  # NaN is in no range


def flag(value: object) -> bool | None:
    """True or false."""
    return value if isinstance(value, bool) else None
