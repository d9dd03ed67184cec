"""Stores that are not quite S3, and answers that are none: fetched whole and right, or refused with what is wrong."""

import base64
import hashlib
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from modelyard.fetcher.download import download
from tests.fetcher.conftest import Pod
from tests.support.scripted_store import Request, Response, ScriptedStore, error, scripted_store

WEIGHTS = random.Random(3).randbytes(3 * 1024 * 1024)
MODEL = {"config.json": b"{}", "weights": WEIGHTS}
KMS = {"x-amz-server-side-encryption": "aws:kms"}
"""Of an object whose ETag is no MD5: without a stored checksum nothing but its version is known."""


@pytest.fixture
def store() -> Iterator[ScriptedStore]:
    with scripted_store() as store:
        store.objects = {f"model/{name}": content for name, content in MODEL.items()}
        yield store


@pytest.fixture
def pod(bare_pod: Pod, store: ScriptedStore) -> Pod:
    bare_pod.reads_s3(store.endpoint)
    return bare_pod


@pytest.fixture(autouse=True)
def _throttling_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_THROTTLED_PAUSE_S", 0.0)


def in_listings(change: Callable[[Response], Response]) -> Callable[[Request, Response], Response]:
    return lambda request, response: change(response) if request.is_listing else response


def for_the_weights(method: str, change: Callable[[Response], Response]) -> Callable[[Request, Response], Response]:
    def script(request: Request, response: Response) -> Response:
        return change(response) if (request.method, request.key) == (method, "model/weights") else response

    return script


def test_the_scripted_store_gives_the_model_when_nothing_is_changed(pod: Pod, store: ScriptedStore) -> None:
    store.page_size = 1
    assert pod.attempt().unverified_files == 0
    assert pod.files() == MODEL


# What stores leave out or write otherwise


@pytest.mark.parametrize(
    "change",
    [
        lambda response: response.with_text("<KeyCount>.*</KeyCount>", ""),
        lambda response: response.with_text("<LastModified>[^<]*", "<LastModified>yesterday"),
        lambda response: response.with_text("<LastModified>[^<]*</LastModified>", ""),
        lambda response: response.with_text("<Size>", "<Owner><ID>1</ID><Size>7</Size></Owner><Size>"),
        lambda response: response.with_text("ListBucketResult", "s3:ListBucketResult").with_text(
            "<s3:ListBucketResult>", "<s3:ListBucketResult xmlns:s3='http://s3.amazonaws.com/doc/2006-03-01/'>"
        ),
        lambda response: response.with_text("<ETag>.(\\w+).</ETag>", "<ETag>\\1</ETag>"),
    ],
    ids=["no KeyCount", "an odd date", "no date", "an owner with a size", "a namespace", "ETags without quotes"],
)
def test_a_listing_is_read_for_what_a_model_needs_and_nothing_else(
    pod: Pod, store: ScriptedStore, change: Callable[[Response], Response]
) -> None:
    store.script = in_listings(change)
    pod.attempt()
    assert pod.files() == MODEL


def test_a_store_without_encoded_keys_is_read_as_it_writes_them(pod: Pod, store: ScriptedStore) -> None:
    store.objects = {"model/a+b%20c": b"1"}
    store.script = in_listings(
        lambda response: response.with_text("<EncodingType>url</EncodingType>", "").with_text("a%2Bb%2520c", "a+b%20c")
    )
    pod.attempt()
    assert pod.files() == {"a+b%20c": b"1"}


def test_an_etag_in_capitals_is_the_same_md5(pod: Pod, store: ScriptedStore) -> None:
    for key, content in store.objects.items():
        store.headers[key] = {"ETag": f'"{hashlib.md5(content).hexdigest().upper()}"'}
    assert pod.attempt().unverified_files == 0
    assert pod.files() == MODEL


def test_an_etag_that_cannot_be_an_md5_is_a_versions_name_and_no_checksum(pod: Pod, store: ScriptedStore) -> None:
    store.headers = {key: {"ETag": '"CLjf35bOg+gCEAE="'} for key in store.objects}
    assert pod.attempt().unverified_files == len(MODEL)
    assert pod.files() == MODEL


def test_a_stored_checksum_that_cannot_be_one_is_passed_over_for_the_next(pod: Pod, store: ScriptedStore) -> None:
    store.headers["model/weights"] = {"x-amz-checksum-sha256": "none", "x-amz-checksum-crc32": "AAAA"}
    assert pod.attempt().unverified_files == 0
    assert pod.files() == MODEL


def test_a_stored_checksum_counts(pod: Pod, store: ScriptedStore) -> None:
    crc = base64.b64encode((zlib.crc32(WEIGHTS) ^ 1).to_bytes(4, "big")).decode()
    store.headers["model/weights"] = {"x-amz-checksum-crc32": crc}
    assert pod.failed_attempt().reason == "ChecksumMismatch"


def test_bytes_that_are_wrong_twice_alike_are_not_fetched_again_until_the_store_shows_a_change(
    pod: Pod, store: ScriptedStore
) -> None:
    right = base64.b64encode(zlib.crc32(WEIGHTS).to_bytes(4, "big")).decode()
    store.headers["model/weights"] = {"x-amz-checksum-crc32": right}
    store.objects["model/weights"] = WEIGHTS[::-1]
    failure = pod.failed_attempt()
    assert failure.reason == "ChecksumMismatch"
    assert "twice with the same bytes" in failure.message
    before = store.times_requested("GET", "model/weights")
    assert pod.failed_attempt().message == failure.message
    assert store.times_requested("GET", "model/weights") == before
    store.objects["model/weights"] = WEIGHTS
    pod.attempt()
    assert pod.files() == MODEL


def test_bytes_that_are_wrong_in_two_ways_are_fetched_again(pod: Pod, store: ScriptedStore) -> None:
    numbers = iter(range(256))
    right = base64.b64encode(zlib.crc32(WEIGHTS).to_bytes(4, "big")).decode()
    store.headers["model/weights"] = {"x-amz-checksum-crc32": right}
    store.script = for_the_weights(
        "GET", lambda response: replace(response, body=response.body[:-1] + bytes([next(numbers)]))
    )
    assert "and had other bytes before" in pod.failed_attempt().message
    store.script = lambda _, response: response
    pod.attempt()
    assert pod.files() == MODEL


HALF = len(WEIGHTS) // 2
OF_TWO_PARTS = hashlib.md5(
    b"".join(hashlib.md5(part).digest() for part in (WEIGHTS[:HALF], WEIGHTS[HALF:]))
).hexdigest()


def test_an_etag_of_parts_in_capitals_is_checked_by_the_sizes_of_the_parts(pod: Pod, store: ScriptedStore) -> None:
    store.headers["model/weights"] = {"ETag": f'"{OF_TWO_PARTS.upper()}-2"'}

    def sizes(request: Request, response: Response) -> Response:
        return response.with_headers(Content_Length=str(HALF)) if "partNumber" in request.query else response

    store.script = sizes
    assert pod.attempt().unverified_files == 0
    assert pod.files() == MODEL


def test_an_etag_of_parts_whose_sizes_the_store_does_not_know_is_no_checksum(pod: Pod, store: ScriptedStore) -> None:
    store.headers["model/weights"] = {"ETag": f'"{OF_TWO_PARTS}-2"'}
    assert pod.attempt().unverified_files == 1
    assert pod.files() == MODEL


# Listings that are no whole one


@pytest.mark.parametrize(
    ("change", "lack"),
    [
        (
            lambda response: response.with_text("<IsTruncated>false", "<IsTruncated>true"),
            "is truncated (IsTruncated) but has no NextContinuationToken",
        ),
        (lambda response: response.with_text("<Size>.*?</Size>", ""), "'model/config.json' has no valid Size"),
        (lambda response: response.with_text("<Size>[^<]*", "<Size>-1"), "'model/config.json' has no valid Size"),
        (lambda response: response.with_text("<Size>[^<]*", f"<Size>{'9' * 5000}"), "has no valid Size"),
        (lambda response: response.with_text("<ETag>.*?</ETag>", ""), "'model/config.json' has no valid ETag"),
        (lambda response: response.with_text("<ETag>[^<]*", "<ETag>漢"), "has no valid ETag"),
        (lambda response: response.with_text("<ETag>[^<]*", "<ETag>a&#10;X-Amz-Acl: b"), "has no valid ETag"),
        (lambda response: response.with_text("<Key>.*?</Key>", ""), "an object has no Key"),
        (lambda response: response.with_text("<Key>[^<]*", "<Key>model/%ff"), "is not UTF-8"),
        (lambda response: response.with_text("model/weights", "model/config.json"), "'model/config.json' twice"),
        (lambda response: response.with_text("ListBucketResult", "ListAllMyBucketsResult"), "not a listing"),
        (lambda response: replace(response, body=b"<!DOCTYPE html><p>Welcome<br>to our site"), "a web page"),
        (lambda response: replace(response, body=b"<html><p>Welcome"), "not XML"),
        (lambda response: replace(response, body=b""), "not XML"),
        (lambda response: replace(response, body=b"<a>" * 1_000_000), "more than 16 deep"),
        (lambda response: replace(response, body=b"<ListBucketResult><Contents><Key>" + b"k" * 100_000), "longer than"),
        (
            lambda response: response.with_text(
                "<ListBucketResult>", "<!DOCTYPE l [<!ENTITY a 'b'>]><ListBucketResult>"
            ),
            "with a DOCTYPE",
        ),
    ],
)
def test_a_listing_that_cannot_be_followed_is_reported_with_the_store_and_what_it_lacks(
    pod: Pod, store: ScriptedStore, change: Callable[[Response], Response], lack: str
) -> None:
    store.script = in_listings(change)
    failure = pod.failed_attempt()
    assert failure.reason == "SourceError"
    assert failure.message.startswith(
        f"{store.endpoint} returned an unusable response for the listing of bucket 'models'"
    )
    assert lack in failure.message


def test_a_store_that_ignores_the_prefix_is_refused(pod: Pod, store: ScriptedStore) -> None:
    store.objects["other/weights"] = b"of another model"
    store.script = lambda request, response: (
        whole_listing(store, request) if request.is_listing and "prefix" in request.query else response
    )
    failure = pod.failed_attempt()
    assert failure.reason == "SourceError"
    assert "'other/weights', which is not below 'model/': the store ignores prefix" in failure.message


def whole_listing(store: ScriptedStore, request: Request) -> Response:
    """What a store answers that knows no prefix."""
    return store.answer(replace(request, query={"list-type": "2"}))


@pytest.mark.parametrize("token", ["same", "other"])
def test_a_listing_without_end_ends(pod: Pod, store: ScriptedStore, token: str) -> None:
    numbers = iter(range(10_000))

    def endless(_: Request, response: Response) -> Response:
        named = "again" if token == "same" else str(next(numbers))
        body = (
            "<ListBucketResult><IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>{named}</NextContinuationToken></ListBucketResult>"
        )
        return replace(response, body=body.encode())

    store.script = endless
    failure = pod.failed_attempt()
    assert failure.reason == "SourceError"
    assert "twice and never ends" in failure.message or "pages without an object" in failure.message
    assert len(store.requests) <= 100


def test_a_listing_of_a_hundred_megabytes_is_not_read(pod: Pod, store: ScriptedStore) -> None:
    blanks = b" " * (100 * 1024 * 1024)
    store.script = in_listings(lambda response: replace(response, body=blanks))
    tracemalloc.start()
    try:
        failure = pod.failed_attempt()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert failure.reason == "SourceError"
    assert f"a response of {store.endpoint} exceeds" in failure.message
    assert peak_bytes < 64 * 1024 * 1024


# Errors, by name


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (error(503, "SlowDown"), "Throttled", "limits the rate of requests (SlowDown"),
        (Response(429), "Throttled", "limits the rate of requests (429"),
        (Response(429, {}, b"<html>Too many"), "Throttled", "limits the rate of requests (429"),
        (error(500, "InternalError"), "SourceError", "with an error of its own"),
        (Response(500, {}, b"oops"), "SourceError", "with an error of its own"),
        (Response(502), "SourceError", "with an error of its own"),
        (error(500, "AccessDenied"), "SourceError", "with an error of its own"),
        (Response(301), "SourceError", "redirects s3://models/model (301"),
        (Response(307, {"Location": "http://[::"}), "SourceError", "redirects s3://models/model (307"),
        (error(404, "NoSuchBucket"), "BucketNotFound", "has no bucket 'models'"),
        (Response(400, {}, b"<a>" * 20_000), "SourceError", "returned 400"),
        (error(403, "AccessDenied"), "AccessDenied", "s3:ListBucket"),
    ],
)
def test_an_error_of_the_listing_has_a_name(
    pod: Pod, store: ScriptedStore, answer: Response, reason: str, words: str
) -> None:
    store.script = in_listings(lambda _: answer)
    failure = pod.failed_attempt()
    assert failure.reason == reason
    assert words in failure.message
    assert store.endpoint in failure.message


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (Response(429), "Throttled", "limits the rate of requests (429"),
        (error(500, "InternalError"), "SourceError", "failed for s3://models/model/weights with an error of its own"),
        (Response(502), "SourceError", "failed for s3://models/model/weights with an error of its own"),
    ],
)
def test_an_error_of_an_objects_bytes_has_a_name(
    pod: Pod, store: ScriptedStore, answer: Response, reason: str, words: str
) -> None:
    store.script = for_the_weights("GET", lambda _: answer)
    failure = pod.failed_attempt()
    assert failure.reason == reason
    assert words in failure.message


def test_a_listing_that_fails_once_is_requested_again(pod: Pod, store: ScriptedStore) -> None:
    failures = iter((Response(500), error(503, "SlowDown")))
    store.script = in_listings(lambda response: next(failures, response))
    pod.attempt()
    assert pod.files() == MODEL


def test_an_error_with_status_200_is_one(pod: Pod, store: ScriptedStore) -> None:
    denied = replace(error(200, "AccessDenied"), status=200)
    store.script = in_listings(lambda _: denied)
    assert pod.failed_attempt().reason == "AccessDenied"


@pytest.mark.parametrize(
    "elsewhere",
    [
        error(400, "AuthorizationHeaderMalformed", Region="eu-central-1"),
        Response(301, {"x-amz-bucket-region": "eu-central-1"}),
    ],
)
def test_a_bucket_of_another_region_is_requested_there(pod: Pod, store: ScriptedStore, elsewhere: Response) -> None:
    store.script = lambda request, response: (
        response if "/eu-central-1/s3/" in request.headers["authorization"] else elsewhere
    )
    pod.attempt()
    assert pod.files() == MODEL


def test_a_region_that_the_store_does_not_keep_to_is_named(pod: Pod, store: ScriptedStore) -> None:
    store.script = lambda *_: Response(301, {"x-amz-bucket-region": "eu-central-1"})
    failure = pod.failed_attempt()
    assert failure.reason == "WrongRegion"
    assert "'eu-central-1': set spec.model.s3.region" in failure.message


# One version, or nothing


def test_a_store_that_ignores_if_match_and_an_object_without_a_checksum_are_one_version_or_nothing(
    pod: Pod, store: ScriptedStore
) -> None:
    store.headers["model/weights"] = KMS
    other = Response(
        206, {"ETag": '"of-the-next-upload"', "Content-Range": f"bytes 0-{len(WEIGHTS) - 1}/{len(WEIGHTS)}"}
    )
    store.script = for_the_weights("GET", lambda _: replace(other, body=WEIGHTS[::-1]))
    failure = pod.failed_attempt()
    assert failure.reason == "SourceChanged"
    assert "'of-the-next-upload'" in failure.message


def test_bytes_that_no_version_and_no_checksum_vouches_for_are_not_accepted(pod: Pod, store: ScriptedStore) -> None:
    store.headers["model/weights"] = KMS
    store.script = for_the_weights("GET", lambda response: response.with_headers(ETag=None))
    failure = pod.failed_attempt()
    assert failure.reason == "SourceError"
    assert "sends no ETag with s3://models/model/weights" in failure.message


def test_bytes_with_a_checksum_need_no_etag_with_each_answer(pod: Pod, store: ScriptedStore) -> None:
    store.script = for_the_weights("GET", lambda response: response.with_headers(ETag=None))
    pod.attempt()
    assert pod.files() == MODEL


@pytest.mark.parametrize(
    ("change", "lack"),
    [
        (lambda response: response.with_headers(ETag=None), "sends no ETag"),
        (lambda response: response.with_headers(Content_Length="many"), "no valid Content-Length"),
        (lambda response: response.with_headers(Content_Length="9" * 5000), "no valid Content-Length"),
    ],
)
def test_an_object_whose_head_lacks_what_is_needed_is_reported(
    pod: Pod, store: ScriptedStore, change: Callable[[Response], Response], lack: str
) -> None:
    store.script = for_the_weights("HEAD", change)
    failure = pod.failed_attempt()
    assert failure.reason == "SourceError"
    assert lack in failure.message
    assert "s3://models/model/weights" in failure.message


# HEAD


@pytest.mark.parametrize("status", [400, 403, 405, 501, 307])
def test_where_head_is_refused_get_does(pod: Pod, store: ScriptedStore, status: int) -> None:
    store.script = lambda request, response: Response(status) if request.method == "HEAD" else response
    assert pod.attempt().unverified_files == 0
    assert pod.files() == MODEL


def test_where_get_is_denied_too_the_permission_is_named(pod: Pod, store: ScriptedStore) -> None:
    store.script = lambda request, response: response if request.is_listing else error(403, "AccessDenied")
    failure = pod.failed_attempt()
    assert failure.reason == "AccessDenied"
    assert "grant s3:GetObject on its objects" in failure.message


# Archives


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-storage-class": "GLACIER"},
        {"x-amz-storage-class": "DEEP_ARCHIVE", "x-amz-restore": 'ongoing-request="true"'},
        {"x-amz-storage-class": "INTELLIGENT_TIERING", "x-amz-archive-status": "ARCHIVE_ACCESS"},
    ],
)
def test_an_archived_object_is_reported_before_the_others_are_fetched(
    pod: Pod, store: ScriptedStore, headers: dict[str, str]
) -> None:
    store.headers["model/weights"] = headers
    failure = pod.failed_attempt()
    assert failure.reason == "ModelArchived"
    assert "s3://models/model/weights is archived" in failure.message
    assert "restore it" in failure.message
    assert store.times_requested("GET", "model/config.json") == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-storage-class": "GLACIER_IR"},
        {"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="false", expiry-date="later"'},
    ],
)
def test_an_object_that_can_be_read_is_fetched_whatever_its_class(
    pod: Pod, store: ScriptedStore, headers: dict[str, str]
) -> None:
    store.headers["model/weights"] = headers
    pod.attempt()
    assert pod.files() == MODEL


def test_an_archive_that_shows_at_reading_only_has_the_same_name(pod: Pod, store: ScriptedStore) -> None:
    store.script = for_the_weights("GET", lambda _: error(403, "InvalidObjectState"))
    failure = pod.failed_attempt()
    assert failure.reason == "ModelArchived"
    assert "s3://models/model/weights is archived" in failure.message


# Names


def test_a_name_with_a_narrow_blank_is_fetched(pod: Pod, store: ScriptedStore) -> None:
    files = {"Bildschirmfoto 12\u202f30.png": b"1", "a\u00a0b": b"2"}
    store.objects = {f"model/{name}": content for name, content in files.items()}
    pod.attempt()
    assert pod.files() == files


def test_a_name_that_turns_the_writing_direction_is_refused_by_it(pod: Pod, store: ScriptedStore) -> None:
    store.objects["model/a\u202egpj.sh"] = b""
    failure = pod.failed_attempt()
    assert failure.reason == "UnsafeKey"
    assert "it contains U+202E" in failure.message
