"""The quantities of a spec (contract/quantity.py), with errors for its author."""

from fractions import Fraction

from modelyard.contract import quantity
from modelyard.contract.errors import InvalidError


def number(text: str | float) -> Fraction:
    """The quantity in its base unit. Raises InvalidError (InvalidSpec) for any other text."""
    try:
        return quantity.parse(text)
    except ValueError as error:
        raise InvalidError("InvalidSpec", str(error)) from error
