"""An engine's command line made of our flags and the user's: the user's word wins, except where nothing could work."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelyard.errors import InvalidError


@dataclass(frozen=True)
class Flag:
    """A flag of ours, without a value for a switch.

    It is left out when the user's arguments have the same flag or one of ``unless``: other spellings, the opposite, or
    flags whose meaning ours would change.
    """

    name: str
    value: str | None = None
    unless: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


def flag_names(arguments: Iterable[str]) -> frozenset[str]:
    """The flags among ``arguments``, with dashes for underscores as Python's engines read them."""
    return frozenset(argument.partition("=")[0].replace("_", "-") for argument in arguments if argument.startswith("-"))


def merged(ours: Iterable[Flag], users: Sequence[str]) -> tuple[str, ...]:
    """Our flags that the user's arguments leave room for, then the user's, as they were written."""
    given = flag_names(users)
    return (*(str(flag) for flag in ours if given.isdisjoint((flag.name, *flag.unless))), *users)


def refusal(argument: str, why: str) -> InvalidError:
    """What to raise for an argument of the user's that would break the service."""
    return InvalidError(
        "EngineArgumentRefused",
        f"spec.engine.args may not hold {argument}: {why}. Remove it.",
    )


def refuse(users: Iterable[str], fixed: Mapping[str, str]) -> None:
    """Raises InvalidError (EngineArgumentRefused) for a flag in ``fixed``, whose value there says why."""
    for name in sorted(flag_names(users) & fixed.keys()):
        raise refusal(name, fixed[name])
