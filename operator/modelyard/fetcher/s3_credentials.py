"""With whose identity S3 is asked: the Secret that the service names, else the pod's cloud identity, else nobody's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.failure import FetchError, Reason

ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"
SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a Secret's key
SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a Secret's key


@dataclass(frozen=True)
class Credentials:
    """A boto3 session, and who it is in words that a message can use."""

    session: Any
    description: str
    anonymous: bool = False


def read(configuration: Configuration) -> Credentials:
    """Reads the Secret's files as they are now, or asks boto3's chain of cloud identities.

    Raises FetchError(CREDENTIALS_MISSING) when the named Secret or one of its keys is not there. Where no Secret is
    named and the pod has no identity, the requests are anonymous, as a public bucket wants them.
    """
    if configuration.credentials_secret is None:
        session = boto3.Session()
        if session.get_credentials() is None:
            return Credentials(session, "an anonymous request (the service names no credentials)", anonymous=True)
        return Credentials(session, "the pod's own cloud identity")
    folder, secret = configuration.credentials_folder, configuration.credentials_secret
    try:
        keys = {key: _value(folder / key) for key in (ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN)}
    except (OSError, UnicodeDecodeError) as error:
        raise FetchError(
            Reason.CREDENTIALS_MISSING,
            f"Secret {secret!r} is here and cannot be read ({error}): its values must be text, and the pod's fsGroup "
            "must be allowed to read it",
        ) from error
    missing = [key for key in (ACCESS_KEY_ID, SECRET_ACCESS_KEY) if not keys[key]]
    if missing:
        raise FetchError(Reason.CREDENTIALS_MISSING, _missing_message(folder, secret, missing))
    session = boto3.Session(
        aws_access_key_id=keys[ACCESS_KEY_ID],
        aws_secret_access_key=keys[SECRET_ACCESS_KEY],
        aws_session_token=keys[SESSION_TOKEN] or None,
    )
    return Credentials(session, f"the key in Secret {secret!r}")


def _value(file: Path) -> str:
    """The file's text without the line feed that `echo` leaves in many a Secret; empty when there is no such key."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""


def _missing_message(folder: Path, secret: str, missing: list[str]) -> str:
    # A Secret's volume holds "..data" and such besides the keys; an optional one without its Secret holds nothing.
    there = sorted(file.name for file in folder.iterdir() if not file.name.startswith(".")) if folder.is_dir() else []
    keys = " and ".join(missing)
    if not there:
        problem = f"Secret {secret!r} does not exist in this namespace, or is empty: create it with the keys {keys}"
    else:
        problem = f"Secret {secret!r} lacks {keys} (it has {', '.join(there)}): add what is missing"
    return f"{problem}. The kubelet brings a new Secret into this pod within about a minute, and the fetch goes on"
