"""What S3's answers mean to a person. The commonest are made to happen in tests/fetcher; here is the whole table."""

from dataclasses import replace

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from modelyard.fetcher.failure import FetchError, Reason
from modelyard.fetcher.sources.s3.errors import Asked, explain

ASKED = Asked("models", "llama", "https://s3.example", "the key in Secret 's3-read'")


def answered(code: str, key: str | None = "llama/weights", operation: str = "GetObject") -> FetchError:
    return explain(ClientError({"Error": {"Code": code, "Message": "S3 said so"}}, operation), ASKED, key)


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        ("AccessDenied", Reason.ACCESS_DENIED, "grant s3:GetObject on its objects"),
        ("NoSuchBucket", Reason.BUCKET_NOT_FOUND, "correct spec.model.uri"),
        ("NoSuchKey", Reason.SOURCE_CHANGED, "the fetch begins anew"),
        ("PreconditionFailed", Reason.SOURCE_CHANGED, "the fetch begins anew"),
        ("InvalidAccessKeyId", Reason.CREDENTIALS_INVALID, "does not know AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", Reason.CREDENTIALS_INVALID, "Put the right pair into the Secret"),
        ("ExpiredToken", Reason.CREDENTIALS_INVALID, "the session token is not valid any more"),
        ("RequestTimeTooSkewed", Reason.CLOCK_SKEW, "set the node's time (NTP)"),
        ("SlowDown", Reason.THROTTLED, "goes on by itself"),
        ("503", Reason.THROTTLED, "goes on by itself"),
        ("PermanentRedirect", Reason.WRONG_REGION, "set spec.model.s3.region"),
        ("InvalidObjectState", Reason.SOURCE_ERROR, "InvalidObjectState: S3 said so"),
    ],
)
def test_each_answer_has_a_name_and_a_remedy(code: str, reason: Reason, remedy: str) -> None:
    error = answered(code)
    assert error.reason is reason
    assert remedy in error.message


def test_a_listing_that_is_not_found_is_an_endpoint_that_speaks_no_s3() -> None:
    error = answered("404", key=None, operation="ListObjectsV2")
    assert error.reason is Reason.SOURCE_ERROR
    assert "correct spec.model.s3.endpoint" in error.message


URL = "https://s3.example/models"


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (ConnectTimeoutError(endpoint_url=URL), Reason.ENDPOINT_UNREACHABLE, "look for a NetworkPolicy"),
        (ReadTimeoutError(endpoint_url=URL), Reason.ENDPOINT_UNREACHABLE, "look for a NetworkPolicy"),
        (ConnectionClosedError(endpoint_url=URL), Reason.ENDPOINT_UNREACHABLE, "the connection broke"),
        (SSLError(endpoint_url=URL, error="handshake failure"), Reason.ENDPOINT_UNREACHABLE, "handshake failure"),
        (
            SSLError(
                endpoint_url=URL, error="CERTIFICATE_VERIFY_FAILED] certificate verify failed: expired (_ssl.c:1)"
            ),
            Reason.CERTIFICATE_NOT_TRUSTED,
            "is not trusted (expired)",
        ),
        (
            CredentialRetrievalError(provider="web identity", error_msg="no role"),
            Reason.CREDENTIALS_INVALID,
            "check what spec.serviceAccountName's account is bound to",
        ),
        (ResponseParserError("not XML"), Reason.SOURCE_ERROR, "correct spec.model.s3.endpoint. (not XML)"),
    ],
)
def test_each_broken_connection_has_a_name_and_a_remedy(
    error: BotoCoreError | ResponseParserError, reason: Reason, remedy: str
) -> None:
    explained = explain(error, ASKED, None)
    assert explained.reason is reason
    assert remedy in explained.message


def test_a_proxy_that_answers_in_the_stores_place_is_named() -> None:
    asked = replace(ASKED, proxy="http://proxy.example:3128")
    error = explain(ClientError({"Error": {"Code": "407", "Message": ""}}, "ListObjectsV2"), asked, None)
    assert error.reason is Reason.PROXY_FAILED
    assert "the proxy http://proxy.example:3128 asks for a user and password" in error.message
