"""Models in S3, or in anything that speaks S3: boto3 for identity and listing, s3_objects.py for the objects' bytes."""

import logging
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
)
from botocore.httpsession import get_cert_path
from botocore.parsers import ResponseParserError

from modelyard.contract.errors import InvalidError
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.content.checksums import Algorithm, Checksum, is_md5, is_value_of, part_count
from modelyard.fetcher.content.remote_file import FILES_LIMIT, RemoteFile, check_paths, safe_path
from modelyard.fetcher.failure import FetchError, Reason
from modelyard.fetcher.sources.mounted_files import ca_bundle
from modelyard.fetcher.sources.ranged_client import concurrently
from modelyard.fetcher.sources.s3.credentials import Credentials, read_credentials
from modelyard.fetcher.sources.s3.errors import Asked, explain
from modelyard.fetcher.sources.s3.objects import Objects
from modelyard.fetcher.sources.s3.requests import ObjectRequests
from modelyard.fetcher.transport.connection import Trust, proxy_of
from modelyard.fetcher.transport.connection_pool import Answer

_log = logging.getLogger(__name__)

_ENCRYPTION = "x-amz-server-side-encryption"
_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 20
"""Without one byte. Also bounds how long a failed attempt waits for its other downloads."""
_AWS = "https://s3.amazonaws.com"
_DEFAULT_REGION = "us-east-1"
"""What S3-compatible servers expect, and where S3 itself tells a bucket's true region from."""


def open_source(configuration: Configuration) -> "S3Source":
    """The source of an `s3://bucket/prefix` or `s3://bucket/object` URI.

    Raises FetchError when credentials or the CA bundle are missing, InvalidError when the URI or the endpoint is wrong.
    """
    bucket, location = _split(configuration.uri)
    credentials = read_credentials(configuration)
    proxy = proxy_of(configuration.s3_endpoint or _AWS)
    asked = Asked(bucket, location, configuration.s3_endpoint, credentials.description, proxy)
    client = _client(configuration, credentials)
    objects = Objects(ObjectRequests(client, credentials.current, bucket), _trust(configuration), asked)
    return S3Source(client, objects, asked)


def _split(uri: str) -> tuple[str, str]:
    """The bucket, and the path in it without a slash at its end. Not by urlsplit: a key may hold '?', '#' and '%'."""
    bucket, _, path = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise InvalidError(
            Reason.INVALID_CONFIGURATION,
            f"spec.model.uri is {uri!r}; it must be s3://bucket/folder or s3://bucket/file",
        )
    return bucket, path.removesuffix("/")


def _client(configuration: Configuration, credentials: Credentials) -> Any:
    trusted = ca_bundle(configuration)
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": 3},
        s3={"addressing_style": configuration.s3_addressing_style},
        response_checksum_validation="when_required",  # checksums.py checks, also what comes in several answers
        signature_version=UNSIGNED if credentials.anonymous else None,
    )
    try:
        return credentials.session.client(
            "s3",
            endpoint_url=configuration.s3_endpoint,
            region_name=configuration.s3_region or credentials.session.region_name or _DEFAULT_REGION,
            verify=str(trusted) if trusted else None,
            config=config,
        )
    except ValueError as error:
        raise InvalidError(
            Reason.INVALID_CONFIGURATION, f"spec.model.s3.endpoint is {configuration.s3_endpoint!r}: {error}"
        ) from error


def _trust(configuration: Configuration) -> Trust:
    """As boto3: the service's own authorities, else those that botocore brings."""
    authorities = ca_bundle(configuration) or get_cert_path(verify=True)
    return lambda: ssl.create_default_context(cafile=authorities)


@dataclass(frozen=True)
class _Listed:
    """One line of a listing."""

    key: str
    size_bytes: int
    version: str


class S3Source:
    """One model in a bucket: the objects below `location/`, or else the one object `location` (source.Source)."""

    def __init__(self, client: Any, objects: Objects, asked: Asked) -> None:
        self._client = client
        self._objects = objects
        self._asked = asked
        self._folder = f"{asked.location}/" if asked.location else ""
        self._listed: tuple[_Listed, ...] = ()

    def files(self) -> tuple[RemoteFile, ...]:
        self._listed = tuple(self._list())
        paths = {listed: self._path(listed.key) for listed in self._listed}
        files = tuple(concurrently(lambda listed: self._describe(listed, paths[listed]), self._listed))
        by_etag = sum(file.checksum is not None and file.checksum.algorithm is Algorithm.ETAG for file in files)
        if by_etag:
            _log.warning("%d of %d files have no stored checksum: they are checked by their ETag", by_etag, len(files))
        return files

    def open_range(self, file: RemoteFile, offset: int, length: int) -> Answer:
        return self._objects.open_range(file, offset, length)

    def authorise(self, files: Iterable[RemoteFile]) -> None:
        concurrently(self._objects.read_one_byte, tuple(files))

    def check_unchanged(self) -> None:
        if tuple(self._list()) != self._listed:
            raise self._changed(self._asked.location)

    def _list(self) -> Iterator[_Listed]:
        """The objects below `location/`; where there are none, the object itself."""
        location = self._asked.location
        objects = list(self._list_below(self._folder))
        if not objects and location:
            page = self._call("list_objects_v2", Prefix=location, MaxKeys=1)  # the exact key sorts first
            objects = [_listed(item) for item in page.get("Contents", []) if item["Key"] == location]
        if not objects:
            raise FetchError(
                Reason.MODEL_NOT_FOUND,
                f"bucket {self._asked.bucket!r} holds no object below {self._folder!r}"
                + (f" and no object {location!r}" if location else "")
                + ": correct spec.model.uri, or upload the model there",
            )
        check_paths(self._path(listed.key) for listed in objects)
        yield from objects

    def _list_below(self, folder: str) -> Iterator[_Listed]:
        token: dict[str, str] = {}
        count = 0
        while True:
            page = self._call("list_objects_v2", Prefix=folder, **token)
            for item in page.get("Contents", []):
                if not (item["Key"].endswith("/") and item["Size"] == 0):  # the mark that a console makes for a folder
                    yield _listed(item)
            count += page["KeyCount"]
            if not page.get("IsTruncated") or count > 2 * FILES_LIMIT:
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _path(self, key: str) -> PurePosixPath:
        if key == self._asked.location:
            return safe_path(key.rpartition("/")[2], "")
        return safe_path(key, self._folder)

    def _describe(self, listed: _Listed, path: PurePosixPath) -> RemoteFile:
        head = self._objects.head(listed.key, listed.version)
        if head.get("content-length") != str(listed.size_bytes) or head.get("etag") != listed.version:
            raise self._changed(listed.key)
        return RemoteFile(path, listed.size_bytes, listed.key, listed.version, self._checksum(listed, head))

    def _checksum(self, listed: _Listed, head: Mapping[str, str]) -> Checksum | None:
        """The strongest checksum that the store has of the object."""
        for algorithm in Algorithm:
            value = head.get(f"x-amz-checksum-{algorithm.lower()}", "")
            if is_value_of(algorithm, value):
                return Checksum(algorithm, value, self._part_sizes(listed) if part_count(value) else ())
        has_own_key = head.get(_ENCRYPTION, "AES256") != "AES256" or f"{_ENCRYPTION}-customer-algorithm" in head
        etag = listed.version.strip('"')
        if has_own_key or not is_md5(etag):
            return None
        return Checksum.etag(etag, self._part_sizes(listed) if part_count(etag) else ())

    def _part_sizes(self, listed: _Listed) -> tuple[int, ...]:
        """The sizes, in bytes, of the parts that the object was uploaded in."""
        try:
            sizes = tuple(self._part_sizes_by_page(listed))
        except FetchError:  # GetObjectAttributes is a permission of its own, and not every server has it
            sizes = ()
        if sum(sizes) != listed.size_bytes:
            sizes = tuple(self._part_sizes_one_by_one(listed))
        if sum(sizes) != listed.size_bytes:
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"the store tells parts of {sum(sizes)} bytes for {listed.key}, which has {listed.size_bytes}: "
                "its checksum cannot be checked. Upload the file again",
            )
        return sizes

    def _part_sizes_by_page(self, listed: _Listed) -> Iterator[int]:
        marker = 0
        while True:
            answer = self._call(
                "get_object_attributes", Key=listed.key, ObjectAttributes=["ObjectParts"], PartNumberMarker=marker
            )
            parts = answer.get("ObjectParts", {})
            yield from (part["Size"] for part in parts.get("Parts", []))
            if not parts.get("IsTruncated"):
                return
            marker = parts["NextPartNumberMarker"]

    def _part_sizes_one_by_one(self, listed: _Listed) -> Iterator[int]:
        number, count = 1, 1
        while number <= count:
            part = self._call("head_object", Key=listed.key, IfMatch=listed.version, PartNumber=number)
            yield part["ContentLength"]
            number, count = number + 1, part.get("PartsCount", 1)

    def _changed(self, key: str) -> FetchError:
        return FetchError(
            Reason.SOURCE_CHANGED,
            f"s3://{self._asked.bucket}/{key} changed while it was fetched: the fetch begins anew. "
            "Upload a model under a new prefix rather than over one in use",
        )

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(Bucket=self._asked.bucket, **arguments)
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise explain(error, self._asked, arguments.get("Key")) from error


def _listed(item: dict[str, Any]) -> _Listed:
    return _Listed(item["Key"], item["Size"], item["ETag"])
