"""What a service names for its source and the kubelet mounts: the Secret and the CA bundle.

Both are files that the kubelet keeps up to date, never variables: each attempt rereads them.
"""

import ssl
from collections.abc import Iterable
from pathlib import Path

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.failure import FetchError


class Secret:
    """The Secret's keys as they are now. No message ever holds a value."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder

    def read(self, keys: Iterable[str]) -> dict[str, str]:
        """The values of ``keys``, without the line feed that `echo` leaves in many a Secret; empty if there is none.

        Raises FetchError when a key is there and cannot be read (CREDENTIALS_MISSING), or holds what no request can
        carry (CREDENTIALS_INVALID): a client would print such a value in its error.
        """
        try:
            values = {key: self._value(key) for key in keys}
        except (OSError, UnicodeDecodeError) as error:
            raise FetchError(
                Reason.CREDENTIALS_MISSING,
                f"Secret {self.name!r} exists but cannot be read ({type(error).__name__}): its values must be text, "
                "and the pod's fsGroup must have permission to read it",
            ) from error
        for key, value in values.items():
            if not value.isprintable():
                raise self._unusable(key, "contains line breaks or other control characters")
        return values

    def bearer(self, key: str) -> str:
        """The value of an Authorization header with this key's token; empty if there is no such key.

        Raises FetchError as ``read`` does.
        """
        token = self.read([key])[key]
        if not token.isascii() or " " in token:
            raise self._unusable(key, "contains blanks or non-ASCII characters, so it is not a token")
        return f"Bearer {token}" if token else ""

    def _unusable(self, key: str, problem: str) -> FetchError:
        return FetchError(Reason.CREDENTIALS_INVALID, f"key {key} of Secret {self.name!r} {problem}: correct its value")

    def _value(self, key: str) -> str:
        try:
            return (self._folder / key).read_text().strip()
        except FileNotFoundError:
            return ""

    def lacks(self, keys: str) -> FetchError:
        """What to raise when ``keys``, written for people ("A and B"), are wanted and not there."""
        # A Secret's volume also holds "..data" and the like; an optional one without its Secret is empty.
        files = self._folder.iterdir() if self._folder.is_dir() else ()
        there = sorted(file.name for file in files if not file.name.startswith("."))
        if there:
            problem = f"Secret {self.name!r} lacks {keys} (it has {', '.join(there)}): add what is missing"
        else:
            problem = f"Secret {self.name!r} does not exist in this namespace, or is empty: create it with {keys}"
        return FetchError(
            Reason.CREDENTIALS_MISSING,
            f"{problem}. The kubelet updates this pod within about a minute, and the fetch then continues",
        )


def secret_of(configuration: Configuration) -> Secret | None:
    """The Secret of ``model.credentials``; None if the service names none."""
    name = configuration.credentials_secret
    return Secret(name, configuration.credentials_folder) if name else None


def ca_bundle(configuration: Configuration) -> Path | None:
    """The PEM file of ``model.caBundle``; None if the service names none.

    Raises FetchError when it is not there (CA_BUNDLE_MISSING) or holds no certificates (CA_BUNDLE_INVALID).
    """
    path = configuration.ca_bundle
    if path is None:
        return None
    owner = f"ConfigMap {configuration.ca_bundle_config_map!r}" if configuration.ca_bundle_config_map else str(path)
    if not path.is_file():
        raise FetchError(
            Reason.CA_BUNDLE_MISSING,
            f"{owner}, which spec.model.caBundle names, does not exist or has no key {path.name!r}: create it. "
            "The kubelet updates this pod within about a minute, and the fetch then continues",
        )
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise FetchError(
            Reason.CA_BUNDLE_INVALID,
            f"key {path.name!r} of {owner} contains no PEM certificates ({error}): put the CA's certificate there, "
            "from BEGIN CERTIFICATE to END CERTIFICATE. It is read again within about two minutes",
        ) from error
    return path
