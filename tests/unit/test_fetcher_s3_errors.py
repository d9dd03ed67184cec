"""What S3's answers mean to a person. The commonest are made to happen in tests/fetcher; here is the whole table."""

from dataclasses import replace

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    SSLError,
)

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.sources.s3.answers import Failure
from modelyard.fetcher.sources.s3.errors import BucketContext, explain, explain_identity

CONTEXT = BucketContext("models", "llama", "https://s3.example", "the key in Secret 's3-read'")
KEY = "llama/weights"


@pytest.mark.parametrize(
    ("failure", "reason", "remedy"),
    [
        (Failure(403, "AccessDenied"), Reason.ACCESS_DENIED, "grant s3:GetObject on its objects"),
        (Failure(403), Reason.ACCESS_DENIED, "grant s3:GetObject on its objects"),
        (Failure(404, "NoSuchBucket"), Reason.BUCKET_NOT_FOUND, "correct spec.model.uri"),
        (Failure(404, "NoSuchKey"), Reason.SOURCE_CHANGED, "the fetch restarts"),
        (Failure(404), Reason.SOURCE_CHANGED, "the fetch restarts"),
        (Failure(412, "PreconditionFailed"), Reason.SOURCE_CHANGED, "the fetch restarts"),
        (Failure(403, "InvalidAccessKeyId"), Reason.CREDENTIALS_INVALID, "AWS_ACCESS_KEY_ID is unknown"),
        (Failure(403, "SignatureDoesNotMatch"), Reason.CREDENTIALS_INVALID, "Put the right pair in the Secret"),
        (Failure(400, "ExpiredToken"), Reason.CREDENTIALS_INVALID, "the session token is no longer valid"),
        (Failure(401), Reason.CREDENTIALS_INVALID, "put valid credentials in the Secret"),
        (Failure(403, "RequestTimeTooSkewed"), Reason.CLOCK_SKEW, "synchronize the node's clock (NTP)"),
        (Failure(503, "SlowDown"), Reason.THROTTLED, "the fetch continues"),
        (Failure(429, "TooMany"), Reason.THROTTLED, "the fetch continues"),
        (Failure(503), Reason.THROTTLED, "the fetch continues"),
        (Failure(500, "InternalError", "S3 failed"), Reason.SOURCE_ERROR, "(500, InternalError: S3 failed): check"),
        (Failure(504), Reason.SOURCE_ERROR, "check the store's log and health"),
        (Failure(301, "PermanentRedirect"), Reason.WRONG_REGION, "set spec.model.s3.region"),
        (Failure(307, region="eu-west-1"), Reason.WRONG_REGION, "in region 'eu-west-1': set spec.model.s3.region"),
        (Failure(302), Reason.SOURCE_ERROR, "set spec.model.s3.endpoint to the address that it redirects to"),
        (Failure(403, "InvalidObjectState"), Reason.MODEL_ARCHIVED, "s3://models/llama/weights is archived"),
        (Failure(400, "Odd", "S3 failed"), Reason.SOURCE_ERROR, "(Odd: S3 failed). If this is not an S3 server"),
    ],
)
def test_each_answer_has_a_name_and_a_remedy(failure: Failure, reason: Reason, remedy: str) -> None:
    error = explain(failure, CONTEXT, KEY)
    assert error.reason is reason
    assert remedy in error.message


def test_a_listing_that_is_denied_names_the_permission_to_list() -> None:
    assert "grant s3:ListBucket on the bucket" in explain(Failure(403), CONTEXT, "").message


def test_a_listing_that_is_not_found_is_an_endpoint_that_speaks_no_s3() -> None:
    error = explain(Failure(404), CONTEXT, "")
    assert error.reason is Reason.SOURCE_ERROR
    assert "correct spec.model.s3.endpoint" in error.message


URL = "https://sts.example"


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (ConnectTimeoutError(endpoint_url=URL), Reason.ENDPOINT_UNREACHABLE, "check NetworkPolicies"),
        (SSLError(endpoint_url=URL, error="handshake failure"), Reason.ENDPOINT_UNREACHABLE, "handshake failure"),
        (
            CredentialRetrievalError(provider="web identity", error_msg="no role"),
            Reason.CREDENTIALS_INVALID,
            "spec.serviceAccountName is bound to",
        ),
        (NoCredentialsError(), Reason.CREDENTIALS_INVALID, "name a Secret in spec.model.credentials"),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRoleWithWebIdentity"),
            Reason.CREDENTIALS_INVALID,
            "AssumeRoleWithWebIdentity",
        ),
    ],
)
def test_an_identity_that_gives_no_credentials_is_reported(
    error: BotoCoreError | ClientError, reason: Reason, remedy: str
) -> None:
    explained = explain_identity(error, CONTEXT)
    assert explained.reason is reason
    assert remedy in explained.message


def test_a_proxy_that_answers_in_the_stores_place_is_named() -> None:
    proxied = replace(CONTEXT, proxy="http://proxy.example:3128")
    error = explain(Failure(407), proxied, "")
    assert error.reason is Reason.PROXY_FAILED
    assert "the proxy http://proxy.example:3128 requires a user and password" in error.message
