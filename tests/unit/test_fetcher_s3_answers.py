"""S3's answers, from stores that write what they like: read for what is needed, or refused by one error."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.fetcher.sources.s3.answers import (
    Failure,
    ListedObject,
    Parts,
    UnreadableError,
    bare_etag,
    is_error,
    is_same_etag,
    read_failure,
    read_page,
    read_parts,
    size_of,
)

LISTING = (
    b"<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
    b"<IsTruncated>true</IsTruncated><NextContinuationToken>t+/=</NextContinuationToken><EncodingType>url</EncodingType>"
    b"<Contents><Key>m/a+b%2Bc</Key><Size>5</Size><ETag>&quot;e&quot;</ETag><LastModified>then</LastModified></Contents>"
    b"</ListBucketResult>"
)
ERROR = b"<Error><Code>AccessDenied</Code><Message>Not\x0a you</Message><Region>eu-west-1</Region></Error>"
PARTS = (
    b"<GetObjectAttributesResponse><ObjectParts><IsTruncated>true</IsTruncated><NextPartNumberMarker>2"
    b"</NextPartNumberMarker><Part><Size>8</Size></Part><Part><Size>3</Size></Part></ObjectParts>"
    b"</GetObjectAttributesResponse>"
)


def test_a_page_has_its_objects_and_the_next_pages_token() -> None:
    page = read_page(LISTING)
    assert page.objects == (ListedObject("m/a b+c", 5, "e", "then"),)
    assert page.next_token == "t+/="


def test_the_token_of_a_last_page_leads_nowhere() -> None:
    assert read_page(LISTING.replace(b"<IsTruncated>true", b"<IsTruncated>false")).next_token == ""


def test_the_parts_of_an_object_have_their_sizes_and_the_next_marker() -> None:
    assert read_parts(PARTS) == Parts((8, 3), "2")
    assert read_parts(PARTS.replace(b"true", b"false")).next_marker == ""


def test_an_error_is_read_wherever_it_stands() -> None:
    expected = Failure(403, "AccessDenied", "Not you", "eu-west-1")
    assert read_failure(403, {}, ERROR) == expected
    assert read_failure(403, {}, b"<ErrorResponse>" + ERROR + b"</ErrorResponse>") == expected
    assert is_error(ERROR)
    assert not is_error(LISTING)


@pytest.mark.parametrize("document", [b"", b"<html>no", b"<a>" * 10_000, LISTING, b"<!DOCTYPE html><Error/>"])
def test_of_a_document_that_is_no_error_only_the_status_counts(document: bytes) -> None:
    assert read_failure(500, {}, document) == Failure(500)


def test_etags_are_compared_without_quotes_and_md5s_without_regard_to_capitals() -> None:
    md5 = "0123456789abcdef0123456789abcdef"
    assert bare_etag(f'W/"{md5}"') == bare_etag(md5) == md5
    assert is_same_etag(md5, md5.upper())
    assert not is_same_etag("CLjf35bOg+gCEAE=", "cljf35bog+gceae=")


@pytest.mark.parametrize("text", [None, "", "-1", "1.5", "9" * 19, "9" * 5000, "٣"])
def test_what_is_no_size_is_none(text: str | None) -> None:
    assert size_of(text) is None


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A right answer with some of its bytes replaced."""
    document = draw(st.sampled_from((LISTING, ERROR, PARTS)))
    begin = draw(st.integers(0, len(document)))
    end = draw(st.integers(begin, len(document)))
    return document[:begin] + draw(st.binary(max_size=40)) + document[end:]


@given(st.one_of(st.binary(max_size=200), spoiled()))
def test_no_answer_whatever_ends_the_fetcher(document: bytes) -> None:
    for read in (read_page, read_parts):
        with contextlib.suppress(UnreadableError):
            read(document)
    read_failure(403, {}, document)
    is_error(document)
