"""The identity for S3 requests: the Secret that the service names, else the pod's cloud identity, else anonymous."""

from dataclasses import dataclass
from typing import Any

import boto3

from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.sources.mounted_files import secret_of

ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"
SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a Secret's key
SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a Secret's key


@dataclass(frozen=True)
class Credentials:
    """A boto3 session, and its identity as text for messages."""

    session: Any
    description: str
    anonymous: bool = False

    @property
    def current(self) -> Any:
        """What botocore signs with, and refreshes before it expires; None for an anonymous request."""
        return None if self.anonymous else self.session.get_credentials()


def read_credentials(configuration: Configuration) -> Credentials:
    """Reads the Secret's files as they are now, or uses boto3's chain of cloud identities.

    Raises FetchError(CREDENTIALS_MISSING) when the named Secret or one of its keys is not there. Where no Secret is
    named and the pod has no identity, the requests are anonymous, as for a public bucket.
    """
    secret = secret_of(configuration)
    if secret is None:
        session = boto3.Session()
        if session.get_credentials() is None:
            return Credentials(session, "an anonymous request (the service names no credentials)", anonymous=True)
        return Credentials(session, "the pod's cloud identity")
    keys = secret.read((ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN))
    missing = [key for key in (ACCESS_KEY_ID, SECRET_ACCESS_KEY) if not keys[key]]
    if missing:
        raise secret.lacks(" and ".join(missing))
    session = boto3.Session(
        aws_access_key_id=keys[ACCESS_KEY_ID],
        aws_secret_access_key=keys[SECRET_ACCESS_KEY],
        aws_session_token=keys[SESSION_TOKEN] or None,
    )
    return Credentials(session, f"the key in Secret {secret.name!r}")
