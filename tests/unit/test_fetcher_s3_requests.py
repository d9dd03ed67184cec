"""Requests to a bucket: what is sent is what was signed."""

from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config

from modelyard.fetcher.sources.s3.requests import BucketRequests, address_of, key_of


def requests_to(endpoint: str | None, style: str = "path", region: str = "us-east-1") -> BucketRequests:
    session = boto3.Session(aws_access_key_id="AKID", aws_secret_access_key="secret")
    config = Config(s3={"addressing_style": style})
    return BucketRequests(
        lambda moved: session.client("s3", endpoint_url=endpoint, region_name=moved or region, config=config),
        session.get_credentials(),
        "models",
    )


def is_accepted(method: str, url: str, headers: dict[str, str]) -> bool:
    """Whether a store that knows the secret finds the signature right, with the Host that comes with this URL."""
    received = AWSRequest(method, url, headers={name: headers[name] for name in headers if name != "Authorization"})
    received.headers["Host"] = urlsplit(url).netloc
    received.context["timestamp"] = headers["X-Amz-Date"]
    _, _, scope = headers["Authorization"].partition("Credential=")
    access_key, _, region, service, _ = scope.partition(",")[0].split("/")
    assert access_key == "AKID"
    credentials = boto3.Session(aws_access_key_id="AKID", aws_secret_access_key="secret").get_credentials()
    signer = S3SigV4Auth(credentials, service, region)
    signature = signer.signature(signer.string_to_sign(received, signer.canonical_request(received)), received)
    return headers["Authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("https://s3.example.com", "s3.example.com"),
        ("https://s3.example.com:443", "s3.example.com"),
        ("http://s3.example.com:80", "s3.example.com"),
        ("http://s3.example.com:443", "s3.example.com:443"),
        ("https://S3.Example.com:9000", "s3.example.com:9000"),
        ("https://[fd00::1]:443", "[fd00::1]"),
        ("https://[FD00::1]:9000", "[fd00::1]:9000"),
        (None, "s3.amazonaws.com"),
    ],
)
def test_the_host_that_is_sent_is_the_host_that_is_signed(endpoint: str | None, host: str) -> None:
    requests = requests_to(endpoint)
    for address in (address_of("a b+c=ü"), address_of("", list_type="2", prefix="a b/ü", encoding_type="url")):
        url, headers = requests.signed("GET", address, {"If-Match": '"etag"'})
        assert urlsplit(url).netloc == host
        assert is_accepted("GET", url, headers)


def test_a_bucket_may_be_a_part_of_the_hosts_name() -> None:
    url, headers = requests_to("https://S3.example.com:443", "virtual").signed("GET", address_of("k"), {})
    assert url == "https://models.s3.example.com/k"
    assert is_accepted("GET", url, headers)


def test_a_request_that_was_changed_on_its_way_is_not_accepted() -> None:
    url, headers = requests_to("https://s3.example.com").signed("GET", address_of("k"), {})
    assert not is_accepted("GET", url.replace("s3.example.com", "s3.example.com:443"), headers)


def test_an_address_gives_its_key_back() -> None:
    assert key_of(address_of("a?b#c %41/ü", partNumber="1")) == "a?b#c %41/ü"
    assert key_of(address_of("", prefix="a")) == ""


def test_a_bucket_moves_to_another_region_once() -> None:
    requests = requests_to(None)
    assert not requests.move_to("no region")
    assert requests.move_to("eu-central-1")
    url, headers = requests.signed("GET", address_of("k"), {})
    assert url == "https://s3.eu-central-1.amazonaws.com/models/k"
    assert "/eu-central-1/s3/" in headers["Authorization"]
    assert not requests.move_to("eu-west-1")
