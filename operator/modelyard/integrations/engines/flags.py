"""An engine's command line made of our flags and the user's: the user's win, except where nothing could work.

Engines take a flag in more than one spelling: ``--flag value`` and ``--flag=value``, an underscore for a dash, any
beginning of its name that no other flag has, and ``-f2`` for ``-f 2`` where the name is one letter (Python's argparse,
and getopt_long). All of them are seen here. Given twice, the last one counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from modelyard.contract.errors import InvalidError
from modelyard.integrations.engines.version import EngineVersion, Release


@dataclass(frozen=True)
class Flag:
    """A flag of ours with its values, none for a switch.

    It is left out when the user's arguments have the same flag or one of ``unless``: other spellings, the opposite, or
    flags whose meaning ours would change; and for an engine older than ``since``, the first release that knows it.
    """

    name: str
    value: str | tuple[str, ...] | None = None
    unless: tuple[str, ...] = ()
    since: Release | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """As on the command line."""
        if isinstance(self.value, tuple):
            return (self.name, *self.value)
        return (self.name if self.value is None else f"{self.name}={self.value}",)


def flag_names(arguments: Iterable[str]) -> frozenset[str]:
    """The flags among ``arguments``, with dashes for underscores as Python's engines read them."""
    return frozenset(_name(argument) for argument in arguments if argument.startswith("-"))


def has(users: Iterable[str], *flags: str) -> bool:
    """Whether the user's arguments hold one of ``flags``, in any spelling."""
    return any(_is(name, flag) for name in flag_names(users) for flag in flags)


def value_of(users: Sequence[str], *flags: str) -> str | None:
    """The value that counts of a flag with these names; None without the flag or a value."""
    found = None
    for argument, following in zip_longest(users, users[1:]):
        if argument.startswith("-") and any(_is(_name(argument), flag) for flag in flags):
            _, equals, value = argument.partition("=")
            attached = next((argument[2:] for flag in flags if _has_value_attached(_name(argument), flag)), None)
            found = value if equals else attached or following
    return found


def without(users: Iterable[str], flag: str) -> list[str]:
    """The user's arguments less those that name ``flag`` in full; a value that stands apart from it stays."""
    return [argument for argument in users if _name(argument) != flag]


def merged(ours: Iterable[Flag], users: Sequence[str]) -> tuple[str, ...]:
    """Our flags that the user's arguments leave room for, then the user's, as they were written."""
    return (*(argument for flag in _kept(ours, users) for argument in flag.arguments), *users)


def of_version(ours: Iterable[Flag], version: EngineVersion) -> list[Flag]:
    """Our flags that an engine of that version knows; all of them where it is unknown."""
    return [flag for flag in ours if flag.since is None or version.has(flag.since)]


def doubtful(ours: Iterable[Flag], users: Sequence[str], version: EngineVersion) -> tuple[tuple[str, Release], ...]:
    """Those of our merged arguments that an engine of unknown ``version`` may not know, each with its ``since``."""
    if version.release is not None:
        return ()
    kept = ((flag, flag.since) for flag in _kept(ours, users))
    return tuple((argument, since) for flag, since in kept if since for argument in flag.arguments)


def _kept(ours: Iterable[Flag], users: Sequence[str]) -> list[Flag]:
    return [flag for flag in ours if not has(users, flag.name, *flag.unless)]


def refusal(argument: str, why: str, remedy: str = "Remove it.") -> InvalidError:
    """The error for a user's argument that would break the service."""
    return InvalidError("EngineArgumentRefused", f"spec.engine.args must not contain {argument}: {why}. {remedy}")


def refuse(users: Iterable[str], fixed: Mapping[str, str]) -> None:
    """Raises InvalidError (EngineArgumentRefused) for a flag in ``fixed``, whose value there is the reason."""
    for name in sorted(flag_names(users)):
        for flag, why in fixed.items():
            if _is(name, flag):
                raise refusal(name if name == flag else f"{name}, which is short for {flag}", why)


def _name(argument: str) -> str:
    return argument.partition("=")[0].replace("_", "-")


def _is(name: str, flag: str) -> bool:
    """Whether an engine may read ``name`` as ``flag``; short flags such as -tp are not abbreviated."""
    is_abbreviated = name.startswith("--") and name != "--" and flag.startswith(name)
    return name == flag or is_abbreviated or _has_value_attached(name, flag)


def _has_value_attached(name: str, flag: str) -> bool:
    """Only a number: engines have flags of several letters behind one dash, such as -dp, beside those of one."""
    return len(flag) == 2 and name.startswith(flag) and name[2:].isdecimal()
