"""Models on any web server, identified by a SHA-256: one file, or the files that a manifest lists.

A URI that ends in `/manifest.json` names a manifest (content/remote_file.py). The SHA-256 that the service states is
then the manifest's own, which holds those of all files.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urljoin

from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.content.checksums import Checksum
from modelyard.fetcher.content.remote_file import (
    MANIFEST_LIMIT_BYTES,
    MANIFEST_NAME,
    ListedFile,
    RemoteFile,
    check_paths,
    is_sha256,
    read_manifest,
    safe_path,
)
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.sources.mounted_files import Secret, ca_bundle, secret_of
from modelyard.fetcher.sources.ranged_client import RangedClient, Refusal, concurrently, web_dialect, web_trust
from modelyard.fetcher.transport.connection import proxy_of
from modelyard.fetcher.transport.connection_errors import Server
from modelyard.fetcher.transport.connection_pool import Answer
from modelyard.fetcher.transport.slowness import StallClock

BEARER_TOKEN = "HTTPS_BEARER_TOKEN"  # noqa: S105 - the name of a Secret's key
USER_NAME = "username"
PASSWORD = "password"  # noqa: S105 - the name of a Secret's key
"""As in Kubernetes' own Secrets of type kubernetes.io/basic-auth."""

MANIFEST = f"/{MANIFEST_NAME}"
_AS_IT_IS = ":/?#[]@!$&'()*+,;=%"
"""What stands in a URL for itself; letters that are not ASCII are percent-encoded (RFC 3986, section 2)."""

_URI = re.compile(r"(https://[^/@?#\s]+)/[^?#\s]*[^/?#\s]")


def open_source(configuration: Configuration) -> "WebSource":
    """The source of an `https://host/path/file` or `https://host/path/manifest.json` URI.

    Raises FetchError when credentials or the CA bundle are missing, InvalidError when URI or SHA-256 are wrong.
    """
    uri = _URI.fullmatch(configuration.uri)
    sha256 = configuration.https_sha256 or ""
    if uri is None or not is_sha256(sha256) or sha256 != sha256.lower():
        raise InvalidError(
            Reason.INVALID_CONFIGURATION,
            f"spec.model.uri is {configuration.uri!r} and spec.model.https.sha256 {sha256!r}; they must be "
            "https://host/file without user, query and fragment, and 64 hexadecimal digits",
        )
    secret = secret_of(configuration)
    server = Server(uri[1], "spec.model.uri", proxy_of(configuration.uri))
    authorization = _authorization(secret) if secret else None
    dialect = web_dialect(server, authorization, lambda refusal: _explain(refusal, secret))
    client = RangedClient(dialect, web_trust(ca_bundle(configuration)))
    return WebSource(client, quote(configuration.uri, safe=_AS_IT_IS), sha256)


def _authorization(secret: Secret) -> str:
    if authorization := secret.bearer(BEARER_TOKEN):
        return authorization
    keys = secret.read((USER_NAME, PASSWORD))
    if keys[USER_NAME] and keys[PASSWORD]:
        pair = f"{keys[USER_NAME]}:{keys[PASSWORD]}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    raise secret.lacks(f"the key {BEARER_TOKEN}, or the keys {USER_NAME} and {PASSWORD}")


def _explain(refusal: Refusal, secret: Secret | None) -> FetchError | None:
    match refusal.status:
        case 401 if secret:
            return FetchError(
                Reason.CREDENTIALS_INVALID,
                f"{refusal.address} rejected the credentials in Secret {secret.name!r}: put valid credentials there",
            )
        case 401:
            return FetchError(
                Reason.CREDENTIALS_MISSING,
                f"{refusal.address} requires credentials: put them in a Secret, in key {BEARER_TOKEN} or in keys "
                f"{USER_NAME} and {PASSWORD}, and name it in spec.model.credentials.secretName",
            )
        case 403:
            whose = f"the credentials in Secret {secret.name!r}" if secret else "an anonymous request"
            return FetchError(
                Reason.ACCESS_DENIED,
                f"access to {refusal.address} was denied for {whose}: grant read access, or set other credentials in "
                "spec.model.credentials",
            )
        case 404 | 410:
            return FetchError(
                Reason.MODEL_NOT_FOUND,
                f"{refusal.address} does not exist ({refusal.status}): correct spec.model.uri, or upload the file",
            )
        case _:
            return None


class WebSource:
    """A file, or the files of a manifest (source.Source). Their contents are held to their SHA-256."""

    def __init__(self, client: RangedClient, uri: str, sha256: str) -> None:
        self._client = client
        self._uri = uri
        self._sha256 = sha256

    def files(self) -> tuple[RemoteFile, ...]:
        files = self._listed() if self._uri.endswith(MANIFEST) else (self._single(),)
        check_paths(file.path for file in files)
        return files

    def open_range(self, file: RemoteFile, offset: int, length: int, clock: StallClock) -> Answer:
        return self._client.open_range(file.key, file, offset, length, clock=clock)

    def check_access(self, files: Iterable[RemoteFile]) -> None:
        concurrently(lambda file: self._client.read_one_byte(file.key), tuple(files))

    def stamp(self, file: RemoteFile) -> str:
        return self._client.stamp(file.key)

    def check_unchanged(self) -> None:
        """The service's SHA-256 allows no other content than what was verified."""

    def _single(self) -> RemoteFile:
        with self._client.get(self._uri) as answer:
            size_bytes = answer.head.file_size
        if size_bytes is None:
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"the server of {self._uri} does not report the file's size (Content-Length): use another server",
            )
        path = safe_path(unquote(self._uri.rpartition("/")[2]), "")
        return RemoteFile(path, size_bytes, self._uri, self._sha256, Checksum.sha256(self._sha256))

    def _listed(self) -> tuple[RemoteFile, ...]:
        manifest = self._client.document(self._uri, MANIFEST_LIMIT_BYTES)
        computed = hashlib.sha256(manifest).hexdigest()
        if computed != self._sha256:
            raise FetchError(
                Reason.CHECKSUM_MISMATCH,
                f"{self._uri} has the SHA-256 {computed}, but spec.model.https.sha256 is {self._sha256}: correct "
                "that, or restore the manifest",
            )
        try:
            return tuple(map(self._file, read_manifest(manifest)))
        except ValueError as error:
            raise _no_manifest(self._uri, str(error)) from error

    def _file(self, listed: ListedFile) -> RemoteFile:
        checksum = Checksum.sha256(listed.sha256)
        key = urljoin(self._uri, quote(f"./{listed.path}"))
        return RemoteFile(listed.path, listed.size_bytes, key, listed.sha256, checksum)


def _no_manifest(uri: str, problem: str) -> FetchError:
    return FetchError(
        Reason.SOURCE_ERROR,
        f'{uri} is no manifest ({problem}): it must be {{"files": [{{"path": ..., "size": ..., "sha256": ...}}, ...]}}',
    )
