"""Models on a hub with Hugging Face's API, or a mirror of one.

The API, from the hub's documentation ("Hub API Endpoints") and its client's: `/api/models/<repository>/revision/<r>`
with `blobs=true` returns the commit and each file's size and checksum: the SHA-256 of large files (LFS), and the git
blob of the others. `/<repository>/resolve/<commit>/<file>` returns a file, large ones by a redirect to another host. A
refusal is explained in `X-Error-Code` and `X-Error-Message`; 401 without a token may also mean that there is nothing.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.content.checksums import Checksum
from modelyard.fetcher.content.remote_file import SIZE_LIMIT_BYTES, RemoteFile, check_paths, safe_path
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.sources.mounted_files import Secret, ca_bundle, secret_of
from modelyard.fetcher.sources.ranged_client import (
    RangedClient,
    Refusal,
    address_without_query,
    concurrently,
    web_dialect,
    web_trust,
)
from modelyard.fetcher.transport.connection import proxy_of
from modelyard.fetcher.transport.connection_errors import Server
from modelyard.fetcher.transport.connection_pool import Answer
from modelyard.fetcher.transport.slowness import StallClock

HUB = "https://huggingface.co"
TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a Secret's key

_URI = re.compile(r"hf://(?P<repository>[^/@]+(?:/[^/@]+)?)(?:@(?P<revision>[^@]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_LISTING_LIMIT_BYTES = 16 * 1024 * 1024
_OTHERWISE = (
    "If this cluster has no access to it, set spec.model.hf.endpoint to a mirror or spec.model.proxy to a proxy, or "
    "put the model in a store of your own and use s3://"
)


def open_source(configuration: Configuration) -> "HubSource":
    """The source of an `hf://org/repository@revision` URI.

    Raises FetchError when the token or the CA bundle is missing, InvalidError when the URI is wrong.
    """
    uri = _URI.fullmatch(configuration.uri)
    if uri is None:
        raise InvalidError(
            Reason.INVALID_CONFIGURATION,
            f"spec.model.uri is {configuration.uri!r}; it must be hf://org/repository or hf://org/repository@revision",
        )
    endpoint = (configuration.hf_endpoint or HUB).rstrip("/")
    secret = secret_of(configuration)
    revision = HubRevision(endpoint, uri["repository"], uri["revision"] or "main", secret)
    authorization = _authorization(secret) if secret else None
    server = Server(endpoint, "spec.model.hf.endpoint", proxy_of(endpoint), _OTHERWISE)
    client = RangedClient(web_dialect(server, authorization, revision.explain), web_trust(ca_bundle(configuration)))
    return HubSource(client, revision)


def _authorization(secret: Secret) -> str:
    authorization = secret.bearer(TOKEN)
    if not authorization:
        raise secret.lacks(f"the key {TOKEN}")
    return authorization


@dataclass(frozen=True)
class HubRevision:
    """A revision of a repository on one hub, and the token to read it with."""

    endpoint: str
    repository: str
    revision: str
    secret: Secret | None

    def explain(self, refusal: Refusal) -> FetchError | None:
        """The hub's refusal, explained; None if another host sent it, or its code is not one of the hub's."""
        if not refusal.address.startswith(f"{address_without_query(self.endpoint)}/"):
            return None
        match refusal.status:
            case 401:
                return self._unknown()
            case 403:
                return self._denied(refusal)
            case 404:
                return self._missing(refusal)
            case _:
                return None

    def _unknown(self) -> FetchError:
        if self.secret:
            return FetchError(
                Reason.CREDENTIALS_INVALID,
                f"{self.endpoint} rejected the token in key {TOKEN} of Secret {self.secret.name!r}: put a valid token "
                f"there, with read access to {self.repository}",
            )
        return FetchError(
            Reason.CREDENTIALS_MISSING,
            f"{self.endpoint} requires a token for {self.repository}, which is private or gated, or does not exist. "
            f"Correct spec.model.uri, or put a token with read access in key {TOKEN} of a Secret and name it in "
            "spec.model.credentials.secretName",
        )

    def _denied(self, refusal: Refusal) -> FetchError:
        whose = (
            f"the token in key {TOKEN} of Secret {self.secret.name!r}"
            if self.secret
            else "an anonymous request (the service names no credentials)"
        )
        message = refusal.header("X-Error-Message")
        return FetchError(
            Reason.ACCESS_DENIED,
            f"{self.endpoint} denied access to {self.repository} for {whose}{f' ({message})' if message else ''}: "
            f"accept the model's terms there, or put a token with read access in key {TOKEN} of the Secret in "
            "spec.model.credentials.secretName",
        )

    def _missing(self, refusal: Refusal) -> FetchError:
        match refusal.header("X-Error-Code"):
            case "EntryNotFound":
                return FetchError(Reason.SOURCE_CHANGED, f"{refusal.address} no longer exists: the fetch restarts")
            case "RevisionNotFound":
                return FetchError(
                    Reason.MODEL_NOT_FOUND,
                    f"{self.repository} at {self.endpoint} has no branch, tag or commit {self.revision!r}: correct "
                    "the revision after '@' in spec.model.uri",
                )
            case _:
                return FetchError(
                    Reason.MODEL_NOT_FOUND,
                    f"{self.endpoint} has no model {self.repository!r}: correct spec.model.uri, or "
                    "spec.model.hf.endpoint if the model is on another hub",
                )


class HubSource:
    """One commit of a repository: the one that the revision named when it was listed (source.Source)."""

    def __init__(self, client: RangedClient, revision: HubRevision) -> None:
        self._client = client
        self._revision = revision

    def files(self) -> tuple[RemoteFile, ...]:
        revision = self._revision
        name = quote(revision.revision, safe="")
        url = f"{revision.endpoint}/api/models/{revision.repository}/revision/{name}?blobs=true"
        files = self._files(self._client.document(url, _LISTING_LIMIT_BYTES))
        if not files:
            raise FetchError(
                Reason.MODEL_NOT_FOUND,
                f"{revision.repository} at {revision.endpoint} has no files in {revision.revision!r}: upload the model "
                "there, or correct spec.model.uri",
            )
        check_paths(file.path for file in files)
        return files

    def open_range(self, file: RemoteFile, offset: int, length: int, clock: StallClock) -> Answer:
        return self._client.open_range(self._url(file), file, offset, length, clock=clock)

    def check_access(self, files: Iterable[RemoteFile]) -> None:
        concurrently(lambda file: self._client.read_one_byte(self._url(file)), tuple(files))

    def _url(self, file: RemoteFile) -> str:
        revision = self._revision
        return f"{revision.endpoint}/{revision.repository}/resolve/{file.version}/{quote(file.key)}"

    def stamp(self, file: RemoteFile) -> str:
        return self._client.stamp(self._url(file))

    def check_unchanged(self) -> None:
        """A commit never changes."""

    def _files(self, listing: bytes) -> tuple[RemoteFile, ...]:
        try:
            answer = json.loads(listing)
            commit = _matching(_COMMIT, answer["sha"])
            return tuple(_file(commit, sibling) for sibling in answer["siblings"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"{self._revision.endpoint} is not a hub, or is a mirror without sizes and checksums "
                f"({type(error).__name__}: {str(error)[:100]}): correct spec.model.hf.endpoint",
            ) from error


def _file(commit: str, sibling: dict[str, Any]) -> RemoteFile:
    """One line of the listing. Raises ValueError, KeyError or TypeError if it is malformed."""
    name = sibling["rfilename"]
    large = sibling.get("lfs")
    size_bytes = (large or sibling)["size"]
    if not isinstance(name, str) or type(size_bytes) is not int or not 0 <= size_bytes < SIZE_LIMIT_BYTES:
        raise TypeError("a file without name or size")
    checksum = (
        Checksum.sha256(_matching(_SHA256, large["sha256"]))
        if large
        else Checksum.git_blob(_matching(_COMMIT, sibling["blobId"]), size_bytes)
    )
    return RemoteFile(safe_path(name, ""), size_bytes, name, commit, checksum)


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not of the form {pattern.pattern}")
    return text
