"""What a test of one CEL rule is made of."""

from typing import Any, NamedTuple

from tests.support.crd_schema import Rule

Changes = dict[str, Any]
"""Values by place, put into the full example."""


class Case(NamedTuple):
    """A rule, the field that the server blames, and examples on both sides of the rule."""

    rule: Rule
    blames: str
    accepted: list[Changes]
    refused: list[Changes]
