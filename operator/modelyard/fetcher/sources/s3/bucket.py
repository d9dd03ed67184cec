"""Models in S3, or in any S3-compatible store: the listing (answers.py), and each object's bytes (objects.py)."""

import logging
import ssl
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from botocore import UNSIGNED
from botocore.config import Config
from botocore.httpsession import get_cert_path

from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.content.checksums import Algorithm, Checksum, is_md5, is_value_of, part_count
from modelyard.fetcher.content.remote_file import RemoteFile, check_paths, safe_path
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.sources.mounted_files import ca_bundle
from modelyard.fetcher.sources.ranged_client import concurrently
from modelyard.fetcher.sources.s3.answers import (
    ListedObject,
    Page,
    UnreadableError,
    listed_below,
    read_page,
    read_parts,
    size_of,
)
from modelyard.fetcher.sources.s3.errors import RESTORE, BucketContext
from modelyard.fetcher.sources.s3.objects import Objects
from modelyard.fetcher.sources.s3.requests import BucketRequests, Credentials, address_of, read_credentials
from modelyard.fetcher.transport.connection import Trust, proxy_of
from modelyard.fetcher.transport.connection_pool import Answer
from modelyard.fetcher.transport.slowness import StallClock

_log = logging.getLogger(__name__)

_ENCRYPTION = "x-amz-server-side-encryption"
_ARCHIVES = {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"}
"""Storage classes, and tiers of INTELLIGENT_TIERING, whose objects must be restored first; not GLACIER_IR."""

_AWS = "https://s3.amazonaws.com"
_DEFAULT_REGION = "us-east-1"
"""What S3-compatible servers expect, and where S3 itself reports a bucket's true region."""


def open_source(configuration: Configuration) -> "S3Source":
    """The source of an `s3://bucket/prefix` or `s3://bucket/object` URI.

    Raises FetchError when credentials or the CA bundle are missing, InvalidError when the URI or the endpoint is wrong.
    """
    bucket, location = _split(configuration.uri)
    credentials = read_credentials(configuration)
    proxy = proxy_of(configuration.s3_endpoint or _AWS)
    context = BucketContext(bucket, location, configuration.s3_endpoint, credentials.description, proxy)
    requests = BucketRequests(partial(_client, configuration, credentials), credentials.current, bucket)
    return S3Source(Objects(requests, _trust(configuration), context), context)


def _split(uri: str) -> tuple[str, str]:
    """The bucket, and the path in it without a slash at its end. Not by urlsplit: a key may hold '?', '#' and '%'."""
    bucket, _, path = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise InvalidError(
            Reason.INVALID_CONFIGURATION,
            f"spec.model.uri is {uri!r}; it must be s3://bucket/folder or s3://bucket/file",
        )
    return bucket, path.removesuffix("/")


def _client(configuration: Configuration, credentials: Credentials, region: str | None) -> Any:
    """boto3's client, which makes requests and sends none."""
    config = Config(
        s3={"addressing_style": configuration.s3_addressing_style},
        signature_version=UNSIGNED if credentials.anonymous else None,
    )
    try:
        return credentials.session.client(
            "s3",
            endpoint_url=configuration.s3_endpoint,
            region_name=region or configuration.s3_region or credentials.session.region_name or _DEFAULT_REGION,
            config=config,
        )
    except ValueError as error:
        raise InvalidError(
            Reason.INVALID_CONFIGURATION, f"spec.model.s3.endpoint is {configuration.s3_endpoint!r}: {error}"
        ) from error


def _trust(configuration: Configuration) -> Trust:
    """As boto3: the service's own authorities, else those that botocore ships."""
    authorities = ca_bundle(configuration) or get_cert_path(verify=True)
    return lambda: ssl.create_default_context(cafile=authorities)


class S3Source:
    """One model in a bucket: the objects below `location/`, or else the one object `location` (source.Source)."""

    def __init__(self, objects: Objects, context: BucketContext) -> None:
        self._objects = objects
        self._context = context
        self._folder = f"{context.location}/" if context.location else ""
        self._listed: tuple[ListedObject, ...] = ()

    def files(self) -> tuple[RemoteFile, ...]:
        self._listed = self._list()
        heads = concurrently(lambda listed: self._objects.head(listed.key, listed.etag), self._listed)
        described = tuple(zip(self._listed, heads, strict=True))
        self._check_readable(described)
        files = tuple(concurrently(lambda each: self._describe(*each), described))
        by_etag = sum(file.checksum is not None and file.checksum.algorithm is Algorithm.ETAG for file in files)
        if by_etag:
            _log.warning("%d of %d files have no stored checksum: they are checked by their ETag", by_etag, len(files))
        return files

    def open_range(self, file: RemoteFile, offset: int, length: int, clock: StallClock) -> Answer:
        return self._objects.open_range(file, offset, length, clock)

    def check_access(self, files: Iterable[RemoteFile]) -> None:
        concurrently(self._objects.read_one_byte, tuple(files))

    def stamp(self, file: RemoteFile) -> str:
        return next((f"{each.etag} {each.modified}" for each in self._listed if each.key == file.key), "")

    def check_unchanged(self) -> None:
        if [_version(each) for each in self._list()] != [_version(each) for each in self._listed]:
            raise self._changed(self._context.location)

    def _list(self) -> tuple[ListedObject, ...]:
        """The objects below `location/`; where there are none, the object itself."""
        location = self._context.location
        try:
            objects = tuple(listed_below(self._folder, lambda token: self._page(self._folder, token)))
            if not objects and location:
                page = self._page(location, "", max_keys="1")  # the exact key sorts first
                objects = tuple(each for each in page.objects if each.key == location)
        except UnreadableError as error:
            raise self._unreadable(f"the listing of bucket {self._context.bucket!r}", error) from error
        if not objects:
            raise FetchError(
                Reason.MODEL_NOT_FOUND,
                f"bucket {self._context.bucket!r} has no object in {self._folder!r}"
                + (f" and no object {location!r}" if location else "")
                + ": correct spec.model.uri, or upload the model there",
            )
        check_paths(self._path(listed.key) for listed in objects)
        return objects

    def _page(self, prefix: str, token: str, **query: str) -> Page:
        query |= {"prefix": prefix} if prefix else {}
        query |= {"continuation_token": token} if token else {}
        return read_page(self._objects.document(address_of("", list_type="2", encoding_type="url", **query)))

    def _path(self, key: str) -> PurePosixPath:
        if key == self._context.location:
            return safe_path(key.rpartition("/")[2], "")
        return safe_path(key, self._folder)

    def _check_readable(self, described: Sequence[tuple[ListedObject, Mapping[str, str]]]) -> None:
        """Archived objects can be listed but not read: reports them before any other is fetched."""
        archived = [(listed.key, where) for listed, head in described if (where := _archive(head))]
        if archived:
            key, where = archived[0]
            more = f", and {len(archived) - 1} more objects are archived too" if len(archived) > 1 else ""
            raise FetchError(Reason.MODEL_ARCHIVED, f"{self._context.uri(key)} is archived ({where}){more}: {RESTORE}")

    def _describe(self, listed: ListedObject, head: Mapping[str, str]) -> RemoteFile:
        size_bytes = size_of(head.get("content-length"))
        if size_bytes is None:
            raise self._unreadable(self._context.uri(listed.key), UnreadableError("it has no valid Content-Length"))
        if size_bytes != listed.size_bytes:
            raise self._changed(listed.key)
        return RemoteFile(self._path(listed.key), size_bytes, listed.key, listed.etag, self._checksum(listed, head))

    def _checksum(self, listed: ListedObject, head: Mapping[str, str]) -> Checksum | None:
        """The strongest checksum that the store has of the object and that can be computed again."""
        for algorithm in Algorithm:
            value = head.get(f"x-amz-checksum-{algorithm.lower()}", "")
            if is_value_of(algorithm, value) and (sizes := self._part_sizes(listed, part_count(value))) is not None:
                return Checksum(algorithm, value, sizes)
        has_own_key = head.get(_ENCRYPTION, "AES256") != "AES256" or f"{_ENCRYPTION}-customer-algorithm" in head
        if has_own_key or not is_md5(listed.etag):
            return None
        sizes = self._part_sizes(listed, part_count(listed.etag))
        return None if sizes is None else Checksum.etag(listed.etag, sizes)

    def _part_sizes(self, listed: ListedObject, count: int) -> tuple[int, ...] | None:
        """The sizes, in bytes, of the ``count`` parts that the object was uploaded in, if that is not 0; None if the
        store does not know them.
        """
        if not count:
            return ()
        try:
            sizes = self._part_sizes_by_page(listed, count)
        except (FetchError, UnreadableError):  # GetObjectAttributes is a permission of its own, and not everywhere
            sizes = ()
        if len(sizes) != count or sum(sizes) != listed.size_bytes:
            sizes = self._part_sizes_one_by_one(listed, count)
        return sizes if len(sizes) == count and sum(sizes) == listed.size_bytes else None

    def _part_sizes_by_page(self, listed: ListedObject, count: int) -> tuple[int, ...]:
        sizes: tuple[int, ...] = ()
        marker = "0"
        while marker and len(sizes) < count:
            wanted = {"x-amz-object-attributes": "ObjectParts", "x-amz-part-number-marker": marker}
            page = read_parts(self._objects.document(address_of(listed.key, attributes=""), wanted))
            if not page.sizes:
                break
            sizes, marker = (*sizes, *page.sizes), page.next_marker
        return sizes

    def _part_sizes_one_by_one(self, listed: ListedObject, count: int) -> tuple[int, ...]:
        sizes: tuple[int, ...] = ()
        while len(sizes) < count and sum(sizes) < listed.size_bytes:
            head = self._objects.head(listed.key, listed.etag, partNumber=str(len(sizes) + 1))
            size_bytes = size_of(head.get("content-length"))
            if not size_bytes:
                break
            sizes = (*sizes, size_bytes)
        return sizes

    def _changed(self, key: str) -> FetchError:
        return FetchError(
            Reason.SOURCE_CHANGED,
            f"{self._context.uri(key)} changed during the fetch: the fetch restarts. Upload a model to a new prefix "
            "rather than over one in use",
        )

    def _unreadable(self, what: str, error: UnreadableError) -> FetchError:
        return FetchError(
            Reason.SOURCE_ERROR,
            f"{self._context.store} returned an unusable response for {what}: {error}. If this is not an S3 "
            "server, correct spec.model.s3.endpoint",
        )


def _version(listed: ListedObject) -> tuple[str, int, str]:
    """What names an object's content: an upload of the same bytes is no change."""
    return listed.key, listed.size_bytes, listed.etag


def _archive(head: Mapping[str, str]) -> str:
    """In which archive an object lies that cannot be read now; empty if it can (Amazon S3 API Reference,
    "HeadObject": x-amz-storage-class, x-amz-archive-status, x-amz-restore).
    """
    archive = head.get("x-amz-archive-status", "") or head.get("x-amz-storage-class", "")
    restore = head.get("x-amz-restore", "")
    if archive not in _ARCHIVES or 'ongoing-request="false"' in restore:
        return ""
    return f"{archive}, being restored" if 'ongoing-request="true"' in restore else archive
