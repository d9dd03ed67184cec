"""The Secret that a service names for its model: files that the kubelet keeps up to date, never variables."""

from collections.abc import Iterable
from pathlib import Path

from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.failure import FetchError, Reason


class Secret:
    """The Secret's keys as they are now. No message ever holds a value."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder

    def read(self, keys: Iterable[str]) -> dict[str, str]:
        """The values of ``keys``, without the line feed that `echo` leaves in many a Secret; empty where there is none.

        Raises FetchError when a key is there and cannot be read (CREDENTIALS_MISSING), or holds what no request can
        carry (CREDENTIALS_INVALID): a client that was given it would tell it in its error.
        """
        try:
            values = {key: self._value(key) for key in keys}
        except (OSError, UnicodeDecodeError) as error:
            raise FetchError(
                Reason.CREDENTIALS_MISSING,
                f"Secret {self.name!r} is here and cannot be read ({type(error).__name__}): its values must be text, "
                "and the pod's fsGroup must be allowed to read it",
            ) from error
        for key, value in values.items():
            if not value.isprintable():
                raise self._unusable(key, "holds line breaks or other control characters")
        return values

    def bearer(self, key: str) -> str:
        """The value of an Authorization header with this key's token; empty where there is no such key.

        Raises FetchError as ``read`` does.
        """
        token = self.read([key])[key]
        if not token.isascii() or " " in token:
            raise self._unusable(key, "holds blanks or letters that are not ASCII, and is no token")
        return f"Bearer {token}" if token else ""

    def _unusable(self, key: str, problem: str) -> FetchError:
        return FetchError(
            Reason.CREDENTIALS_INVALID, f"key {key} of Secret {self.name!r} {problem}: put the right text there"
        )

    def _value(self, key: str) -> str:
        try:
            return (self._folder / key).read_text().strip()
        except FileNotFoundError:
            return ""

    def lacks(self, keys: str) -> FetchError:
        """What to raise when ``keys``, written for people ("A and B"), are wanted and not there."""
        # A Secret's volume holds "..data" and such besides the keys; an optional one without its Secret holds nothing.
        files = self._folder.iterdir() if self._folder.is_dir() else ()
        there = sorted(file.name for file in files if not file.name.startswith("."))
        if there:
            problem = f"Secret {self.name!r} lacks {keys} (it has {', '.join(there)}): add what is missing"
        else:
            problem = f"Secret {self.name!r} does not exist in this namespace, or is empty: create it with {keys}"
        return FetchError(
            Reason.CREDENTIALS_MISSING,
            f"{problem}. The kubelet brings a new Secret into this pod within about a minute, and the fetch goes on",
        )


def secret_of(configuration: Configuration) -> Secret | None:
    """The Secret of ``model.credentials``; None where the service names none."""
    name = configuration.credentials_secret
    return Secret(name, configuration.credentials_folder) if name else None
