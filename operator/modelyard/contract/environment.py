"""Reads the environment variables of a program: strictly, and with each problem named by its variable."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason

T = TypeVar("T")


class Environment:
    """The variables; an empty one counts as unset. Methods raise InvalidError for what is missing or wrong."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = {name: value for name, value in variables.items() if value}

    def text(self, name: str) -> str | None:
        """None if it is unset."""
        return self._variables.get(name)

    def required(self, name: str) -> str:
        """What must be set."""
        if name not in self._variables:
            raise invalid(name, "is not set")
        return self._variables[name]

    def parsed(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """What ``parse`` makes of it, which raises ValueError for what is wrong."""
        if name not in self._variables:
            return default
        try:
            return parse(self._variables[name])
        except ValueError as error:
            raise invalid(name, f"is invalid: {error}") from error

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of the ``choices``."""
        value = self._variables.get(name, default)
        if value not in choices:
            raise invalid(name, f"is {value!r}; it must be one of {', '.join(choices)}")
        return value

    def path(self, name: str, default: str) -> Path:
        """Any path."""
        return Path(self._variables.get(name, default))

    def port(self, name: str, default: int) -> int:
        """A TCP port."""
        value = self._variables.get(name, str(default))
        if not (value.isascii() and value.isdecimal() and 0 < int(value) < 65536):
            raise invalid(name, f"is {value!r}, which is not a port")
        return int(value)


def invalid(name: str, problem: str) -> InvalidError:
    """The error for a variable; ``problem`` stands behind its name."""
    return InvalidError(Reason.INVALID_CONFIGURATION, f"the environment variable {name} {problem}")
