"""Pydantic's validation errors, explained to the author of the file."""

import difflib
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import PydanticCustomError

from modelyard.contract import quantity

EXPECTED: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text (a number in quotes)",
    "dict": "a mapping of keys to values",
    "model": "a mapping of keys to values",
    "tuple": "a list",
    "list": "a list",
    "quantity": "a quantity such as 500m or 1Gi",
}
"""By the first word of pydantic's type of error (int_parsing, string_type, ...), or ours."""

PROXY_URL = r"^https?://[^\s/@]+/?$"
HTTP_URL = r"^https?://[^\s@]+$"


def _amount(text: str) -> str:
    try:
        is_amount = quantity.parse(text) >= 0
    except ValueError:
        is_amount = False
    if not is_amount:
        raise PydanticCustomError("quantity", "no quantity")
    return text


Amount = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_amount)]
"""A Kubernetes quantity that is not negative."""

ProxyUrl = Annotated[str, Field(pattern=PROXY_URL)]
"""An HTTP proxy, without user and password."""

PATTERNS: Mapping[str, str] = {
    # The given value is left out: it may contain a password, and the message goes to the log.
    PROXY_URL: "a proxy such as http://proxy.example.com:3128, without user, password and path",
    HTTP_URL: "an http:// or https:// URL without user and password",
}
"""What a text must be, by the pattern that it does not match; every pattern of a text is here."""

BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
}
"""By pydantic's type of error: in words, and where the error keeps the bound."""


def problems(model: type[BaseModel], error: ValidationError) -> Iterator[str]:
    """For each thing that is wrong with what should have been a ``model``: its place, and what to write there."""
    for found in error.errors():
        place, kind, given = found["loc"], found["type"], found["input"]
        where = ".".join(map(str, place)) or "the whole"
        if kind == "missing":
            yield f"{where} is missing: it must be set"
        elif kind == "extra_forbidden":
            yield f"{where} is unknown: {_known_beside(model, place)}"
        elif kind in BOUNDS:
            words, bound = BOUNDS[kind]
            yield f"{where} must be {words} {found['ctx'][bound]}, not {given!r}"
        elif kind == "string_pattern_mismatch":
            yield f"{where} must be {PATTERNS[found['ctx']['pattern']].format(given=given)}"
        elif expected := EXPECTED.get(kind.partition("_")[0]):
            yield f"{where} must be {expected}, not {given!r}"
        else:
            yield f"{where}: {found['msg']}"


def _known_beside(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """The valid keys beside the unknown one at the end of ``place``, and those that it may be a misspelling of."""
    *outer, wrong = place
    annotation: Any = model
    for step in outer:
        held = get_args(annotation)
        annotation = held[-1 if held[-1] is not Ellipsis else 0] if held else annotation.model_fields[step].annotation
        annotation = _description_of(annotation)
    known = sorted(annotation.model_fields)
    meant = difflib.get_close_matches(str(wrong), known, n=1)
    guess = f"did you mean {meant[0]}? " if meant else ""
    return f"{guess}The known keys are {', '.join(known)}"


def _description_of(annotation: Any) -> Any:
    """The type of what is there, where there may also be nothing."""
    held = get_args(annotation)
    return next(one for one in held if one is not NoneType) if NoneType in held else annotation
