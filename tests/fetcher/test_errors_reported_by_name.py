"""Whatever is wrong is reported by name while the fetcher runs on; once it is cured the fetch goes on by itself."""

from pathlib import Path

import pytest

from modelyard.contract import names
from tests.fetcher.conftest import Pod
from tests.support.background_process import BackgroundProcess
from tests.support.faulty_proxy import Fault, FaultyProxy
from tests.support.object_store import ADMIN, READER, ObjectStore


@pytest.fixture(autouse=True)
def model(store: ObjectStore) -> None:
    store.put("model/config.json", b"{}")


def cured(running: BackgroundProcess, pod: Pod) -> bool:
    """The fetcher that reported an error has ended well, with the model, and its last report has none."""
    assert running.ends() == 0, running.output
    return pod.files() == {"config.json": b"{}"} and pod.last_report()["error"] is None


def test_a_missing_secret_is_named_and_the_fetch_goes_on_when_it_comes(pod: Pod) -> None:
    pod.take_secret()
    running = pod.start()
    error = pod.error()
    assert error["reason"] == "CredentialsMissing"
    assert "Secret 's3-read' does not exist in this namespace" in error["message"]
    pod.give_secret(*READER)
    assert cured(running, pod)


def test_a_missing_key_of_the_secret_is_named(pod: Pod) -> None:
    (pod.secret / "AWS_SECRET_ACCESS_KEY").rename(pod.secret / "SECRET_KEY")
    error = pod.failed_attempt()
    assert error.reason == "CredentialsMissing"
    assert "'s3-read' lacks AWS_SECRET_ACCESS_KEY (it has AWS_ACCESS_KEY_ID, SECRET_KEY)" in error.message


def test_a_secret_whose_value_is_no_text_is_named(pod: Pod) -> None:
    (pod.secret / "AWS_SECRET_ACCESS_KEY").write_bytes(b"\xff\xfe")
    error = pod.failed_attempt()
    assert error.reason == "CredentialsMissing"
    assert "Secret 's3-read' exists but cannot be read" in error.message


def test_an_unknown_access_key_is_named(pod: Pod) -> None:
    pod.give_secret("unknown", "x")
    error = pod.failed_attempt()
    assert error.reason == "CredentialsInvalid"
    assert "AWS_ACCESS_KEY_ID is unknown" in error.message


def test_a_refused_anonymous_request_is_reported_as_anonymous(pod: Pod) -> None:
    del pod.environment[names.ENV_CREDENTIALS_SECRET]
    pod.start()
    error = pod.error()
    assert error["reason"] == "AccessDenied"
    assert "an anonymous request" in error["message"]


def test_a_missing_bucket_is_named(pod: Pod) -> None:
    pod.give_secret(*ADMIN)  # to others a missing bucket is one that is denied
    pod.environment[names.ENV_MODEL_URI] = "s3://no-such-bucket/model"
    error = pod.failed_attempt()
    assert error.reason == "BucketNotFound"
    assert "has no bucket 'no-such-bucket'" in error.message


def test_an_https_endpoint_without_tls_is_reported(store: ObjectStore, pod: Pod) -> None:
    pod.environment[names.ENV_S3_ENDPOINT] = store.endpoint.replace("http:", "https:")
    error = pod.failed_attempt()
    assert error.reason == "EndpointUnreachable"
    assert "it seems to use plain http, but spec.model.s3.endpoint has https://" in error.message


def test_a_missing_ca_bundle_is_named(pod: Pod, tmp_path: Path) -> None:
    pod.environment[names.ENV_CA_BUNDLE] = str(tmp_path / "ca" / "ca.crt")
    pod.environment[names.ENV_CA_BUNDLE_CONFIG_MAP] = "our-ca"
    error = pod.failed_attempt()
    assert error.reason == "CABundleMissing"
    assert "ConfigMap 'our-ca', which spec.model.caBundle names, does not exist or has no key 'ca.crt'" in error.message
    assert "within about a minute" in error.message


def test_a_ca_bundle_that_is_none_is_named(pod: Pod, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("hello")
    pod.environment[names.ENV_CA_BUNDLE] = str(bundle)
    error = pod.failed_attempt()
    assert error.reason == "CABundleInvalid"
    assert "from BEGIN CERTIFICATE to END CERTIFICATE" in error.message


def always(status: bytes, content_type: bytes, body: bytes) -> Fault:
    """Every answer is this one."""
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, content_type, len(body))
    return lambda of, _: b"" if of.passed_bytes else head + body


def test_a_throttling_server_is_named_and_waited_for(proxy: FaultyProxy, pod: Pod) -> None:
    body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    proxy.fault = always(b"503 Slow Down", b"application/xml", body)
    running = pod.start()
    error = pod.error()
    assert error["reason"] == "Throttled"
    proxy.fault = lambda _, data: data
    assert cured(running, pod)


def test_an_endpoint_that_is_some_web_site_is_reported(proxy: FaultyProxy, pod: Pod) -> None:
    proxy.fault = always(b"200 OK", b"text/html", b"<!doctype html><p>Welcome<br>to our site")
    error = pod.failed_attempt()
    assert error.reason == "SourceError"
    assert "correct spec.model.s3.endpoint" in error.message


def test_a_pinned_digest_that_the_source_does_not_hold_is_named(pod: Pod) -> None:
    pod.environment[names.ENV_MODEL_DIGEST] = f"sha256:{'0' * 64}"
    assert pod.failed_attempt().reason == "DigestMismatch"
    assert pod.files() == {}


def test_an_unknown_scheme_ends_the_fetcher_with_the_known_ones_in_its_termination_message(pod: Pod) -> None:
    pod.environment[names.ENV_MODEL_URI] = "ftp://models/model"
    assert pod.start().ends() == 1
    report = pod.last_report()
    assert report["phase"] == "Failed"
    assert report["error"]["reason"] == "UnknownScheme"
    assert report["error"]["message"].endswith("supports s3://, hf://, https://, pvc://")


def test_a_configuration_without_a_pod_uid_is_named_in_the_termination_message(pod: Pod) -> None:
    del pod.environment[names.ENV_POD_UID]
    assert pod.start().ends() == 1
    assert pod.last_report()["error"] == {
        "reason": "InvalidConfiguration",
        "message": "the environment variable POD_UID is not set",
    }


def test_an_endpoint_that_is_no_url_ends_the_fetcher_by_name(pod: Pod) -> None:
    pod.environment[names.ENV_S3_ENDPOINT] = "s3.example.com"
    assert pod.start().ends() == 1
    assert pod.last_report()["error"]["reason"] == "InvalidConfiguration"
