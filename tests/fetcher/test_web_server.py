"""Models on a web server: a file or a manifest, credentials, redirects, and servers that do as they like."""

import base64
import hashlib
import json
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from modelyard.contract import names
from tests.fetcher.conftest import Pod
from tests.fetcher.places import Web, opened, server_tls
from tests.support.faulty_proxy import Answer, FaultyProxy, faulty_proxy
from tests.support.file_server import FileServer, running

WEIGHTS = random.Random(2).randbytes(3 * 1024 * 1024)


@pytest.fixture
def web(bare_pod: Pod) -> Iterator[Web]:
    with opened(Web, bare_pod, None) as web:
        assert isinstance(web, Web)
        yield web


def put_file(web: Web, content: bytes = WEIGHTS, path: str = "/files/model.gguf") -> None:
    """The model is this one file."""
    web.server.files[path] = content
    web.pod.environment |= {
        names.ENV_MODEL_URI: f"{web.link.endpoint}{path}",
        names.ENV_HTTPS_SHA256: hashlib.sha256(content).hexdigest(),
    }


@pytest.mark.parametrize("content", [WEIGHTS, b""])
def test_a_single_file_arrives_as_a_folder_with_one_file(web: Web, content: bytes) -> None:
    put_file(web, content)
    web.pod.attempt()
    assert web.pod.files() == {"model.gguf": content}


def test_a_files_name_may_be_percent_encoded(web: Web) -> None:
    put_file(web, path="/files/my model.gguf")
    web.pod.environment[names.ENV_MODEL_URI] = f"{web.link.endpoint}/files/my%20model.gguf"
    web.pod.attempt()
    assert web.pod.files() == {"my model.gguf": WEIGHTS}


def test_a_files_name_may_be_written_in_any_letters(web: Web) -> None:
    put_file(web, path="/模型/größe.gguf")
    web.pod.attempt()
    assert web.pod.files() == {"größe.gguf": WEIGHTS}


def test_a_file_with_another_sha256_is_refused_by_name(web: Web) -> None:
    put_file(web)
    web.pod.environment[names.ENV_HTTPS_SHA256] = "0" * 64
    error = web.pod.failed_attempt()
    assert error.reason == "ChecksumMismatch"
    assert f"{'0' * 64}, computed {hashlib.sha256(WEIGHTS).hexdigest()}" in error.message


def test_a_manifest_with_another_sha256_is_refused_with_both(web: Web) -> None:
    web.put({"weights": WEIGHTS})
    web.pod.environment[names.ENV_HTTPS_SHA256] = "0" * 64
    error = web.pod.failed_attempt()
    assert error.reason == "ChecksumMismatch"
    assert f"spec.model.https.sha256 is {'0' * 64}" in error.message
    assert hashlib.sha256(web.server.files["/model/manifest.json"]).hexdigest() in error.message


SHA256 = "0" * 64


@pytest.mark.parametrize(
    "manifest",
    [
        "<html>",
        "[]",
        "{}",
        {"files": []},
        {"files": [{"path": "a", "size": 1}]},
        {"files": [{"path": "a", "size": "1", "sha256": SHA256}]},
        {"files": [{"path": "a", "size": 1, "sha256": SHA256.replace("0", "G")}]},
        {"files": [{"path": 1, "size": 1, "sha256": SHA256}]},
        {"files": [{"path": "a", "size": 10**30, "sha256": SHA256}]},
    ],
)
def test_what_is_no_manifest_is_refused_with_the_form_of_one(web: Web, manifest: object) -> None:
    text = (manifest if isinstance(manifest, str) else json.dumps(manifest)).encode()
    web.server.files["/model/manifest.json"] = text
    web.pod.environment[names.ENV_HTTPS_SHA256] = hashlib.sha256(text).hexdigest()
    error = web.pod.failed_attempt()
    assert error.reason == "SourceError"
    assert '{"files": [{"path": ..., "size": ..., "sha256": ...}, ...]}' in error.message


def test_a_manifest_that_lists_a_file_twice_is_refused(web: Web) -> None:
    entry = {"path": "a", "size": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    text = json.dumps({"files": [entry, entry]}).encode()
    web.server.files["/model/manifest.json"] = text
    web.pod.environment[names.ENV_HTTPS_SHA256] = hashlib.sha256(text).hexdigest()
    error = web.pod.failed_attempt()
    assert error.reason == "UnsafeKey"
    assert "it is listed twice" in error.message


def test_a_manifest_without_end_is_given_up(web: Web) -> None:
    web.server.files["/model/manifest.json"] = b" " * (5 * 1024 * 1024)
    web.pod.environment[names.ENV_HTTPS_SHA256] = SHA256
    error = web.pod.failed_attempt()
    assert error.reason == "SourceError"
    assert "exceeds" in error.message


def test_user_and_password_are_sent_by_basic_authentication(web: Web) -> None:
    web.put({"weights": WEIGHTS})
    web.require_secret()
    web.server.required_authorization = f"Basic {base64.b64encode('jane:päss'.encode()).decode()}"
    web.pod.give_keys({"username": "jane", "password": "päss"})
    web.pod.attempt()
    assert web.pod.files() == {"weights": WEIGHTS}


def test_a_server_that_requires_credentials_is_reported_with_where_to_put_them(web: Web) -> None:
    put_file(web)
    web.server.required_authorization = "Bearer token"
    error = web.pod.failed_attempt()
    assert error.reason == "CredentialsMissing"
    assert "key HTTPS_BEARER_TOKEN or in keys username and password" in error.message


@pytest.fixture
def elsewhere() -> Iterator[tuple[FileServer, FaultyProxy]]:
    """Another server that has the file."""
    with ExitStack() as stack:
        server = FileServer()
        stack.enter_context(running(server))
        server.files["/files/model.gguf"] = WEIGHTS
        yield server, stack.enter_context(faulty_proxy(server.port, server_tls()))


def test_a_redirect_to_another_host_is_followed_without_the_credential(
    web: Web, elsewhere: tuple[FileServer, FaultyProxy]
) -> None:
    other, link = elsewhere
    put_file(web)
    web.require_secret()
    web.pod.give_keys(web.right_secret)
    web.server.redirects["/files/model.gguf"] = f"{link.endpoint}/files/model.gguf?signature=secret"
    web.pod.attempt()
    assert web.pod.files() == {"model.gguf": WEIGHTS}
    assert (other.authorizations, len(web.server.authorizations)) == ([], 2)


def test_the_signature_of_an_address_that_a_server_redirects_to_is_never_shown(
    web: Web, elsewhere: tuple[FileServer, FaultyProxy]
) -> None:
    other, link = elsewhere
    put_file(web)
    web.server.redirects["/files/model.gguf"] = f"{link.endpoint}/files/model.gguf?signature=secret"
    other.statuses["/files/model.gguf"] = 500
    error = web.pod.failed_attempt()
    assert error.reason == "SourceError"
    assert f"{link.endpoint}/files/model.gguf returned 500" in error.message
    assert "secret" not in error.message


def test_a_redirect_away_from_https_is_refused(web: Web) -> None:
    put_file(web)
    web.server.redirects["/files/model.gguf"] = "http://127.0.0.1/files/model.gguf"
    error = web.pod.failed_attempt()
    assert error.reason == "SourceError"
    assert "redirects to http://127.0.0.1, which is not https" in error.message


@pytest.mark.parametrize("target", ["https://[", "ftp://127.0.0.1/files/model.gguf", "file:///etc/passwd"])
def test_a_redirect_to_what_is_no_web_server_is_refused(web: Web, target: str) -> None:
    put_file(web)
    web.server.redirects["/files/model.gguf"] = target
    assert web.pod.failed_attempt().reason == "SourceError"


def test_a_redirect_without_a_target_is_reported(web: Web) -> None:
    put_file(web)
    web.server.statuses["/files/model.gguf"] = 301
    error = web.pod.failed_attempt()
    assert error.reason == "SourceError"
    assert "redirects (301) without a Location" in error.message


def test_a_malformed_address_is_rejected(web: Web) -> None:
    put_file(web)
    web.pod.environment[names.ENV_MODEL_URI] = "https://[/model.gguf"
    error = web.pod.failed_attempt()
    assert error.reason == "EndpointUnreachable"
    assert "https://[" in error.message


def test_a_connection_that_was_closed_before_it_was_used_again_is_made_anew(web: Web) -> None:
    put_file(web)
    closed = iter(range(1))
    web.link.fault = lambda _, data: None if next(closed, None) is not None else data
    web.pod.attempt()
    assert web.pod.files() == {"model.gguf": WEIGHTS}


def test_a_download_that_breaks_in_the_middle_resumes_there(web: Web) -> None:
    put_file(web)
    failures = iter(range(1))

    def cut_and_fail(answer: Answer, data: bytes) -> bytes:
        if answer.passed_bytes > 2 * 1024 * 1024 and next(failures, None) is not None:
            web.server.statuses["/files/model.gguf"] = 502
            raise ConnectionAbortedError  # closed in good order: what was sent before arrives
        if b" 502 " in data[:20]:
            web.server.statuses.clear()
        return data

    web.link.fault = cut_and_fail
    web.pod.attempt()
    assert web.pod.files() == {"model.gguf": WEIGHTS}
    assert web.server.statuses == {}


def test_a_redirect_in_a_circle_has_an_end(web: Web) -> None:
    put_file(web)
    web.server.redirects["/files/model.gguf"] = "/files/model.gguf"
    error = web.pod.failed_attempt()
    assert error.reason == "SourceError"
    assert "redirects over 5 times" in error.message


def test_a_server_that_knows_no_ranges_still_brings_the_file_over_several_connections(web: Web) -> None:
    put_file(web)
    web.server.knows_ranges = False
    cuts = iter(range(2))

    def cut_twice(answer: Answer, data: bytes) -> bytes | None:
        return None if answer.passed_bytes > 2 * 1024 * 1024 and next(cuts, None) is not None else data

    web.link.fault = cut_twice
    web.pod.attempt()
    assert web.pod.files() == {"model.gguf": WEIGHTS}


def test_a_large_file_of_a_server_that_knows_no_ranges_comes_over_one_connection_at_a_time(web: Web) -> None:
    large = WEIGHTS * 14
    put_file(web, large)
    web.server.knows_ranges = False
    web.pod.attempt()
    assert web.pod.files() == {"model.gguf": large}


def test_a_redirect_is_resolved_again_once_its_target_refuses(
    web: Web, elsewhere: tuple[FileServer, FaultyProxy]
) -> None:
    other, link = elsewhere
    put_file(web)
    other.files |= {"/first": WEIGHTS, "/second": WEIGHTS}
    web.server.redirects["/files/model.gguf"] = f"{link.endpoint}/first?signature=1"
    answers: list[Answer] = []

    def expire_the_second_answers_address(answer: Answer, data: bytes) -> bytes:
        if answer not in answers:
            answers.append(answer)
        if answer is answers[0] or answer.passed_bytes <= 2 * 1024 * 1024 or other.statuses:
            return data
        other.statuses["/first"] = 403
        web.server.redirects["/files/model.gguf"] = f"{link.endpoint}/second?signature=2"
        raise ConnectionAbortedError

    link.fault = expire_the_second_answers_address
    web.pod.attempt()
    assert web.pod.files() == {"model.gguf": WEIGHTS}
    assert any(request.startswith("/second") for request in other.requests)


def test_a_file_that_is_longer_than_it_was_listed_does_not_fill_the_disk(web: Web) -> None:
    web.put({"weights": WEIGHTS})
    web.server.files["/model/weights"] = WEIGHTS + b"more"
    error = web.pod.failed_attempt()
    assert error.reason == "SourceChanged"
    assert f"has {len(WEIGHTS) + 4} bytes, not the {len(WEIGHTS)} that were listed" in error.message


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "AccessDenied"), (404, "ModelNotFound"), (410, "ModelNotFound"), (429, "Throttled"), (500, "SourceError")],
)
def test_each_refusal_has_a_name(web: Web, status: int, reason: str) -> None:
    put_file(web)
    web.server.statuses["/files/model.gguf"] = status
    assert web.pod.failed_attempt().reason == reason


@pytest.mark.parametrize("token", ["two words", "tökén"])
def test_a_token_that_is_none_is_named(web: Web, token: str) -> None:
    put_file(web)
    web.require_secret()
    web.pod.give_keys({"HTTPS_BEARER_TOKEN": token})
    error = web.pod.failed_attempt()
    assert error.reason == "CredentialsInvalid"
    assert "key HTTPS_BEARER_TOKEN of Secret 's3-read'" in error.message
    assert token not in error.message


def test_a_server_that_accepts_connections_and_stays_silent_is_given_up(web: Web) -> None:
    put_file(web)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        web.pod.environment[names.ENV_MODEL_URI] = f"https://127.0.0.1:{silent.getsockname()[1]}/model.gguf"
        error = web.pod.failed_attempt()
    assert error.reason == "EndpointUnreachable"
    assert "it does not respond in time" in error.message


def test_a_server_without_tls_is_reported(web: Web) -> None:
    put_file(web)
    web.pod.environment[names.ENV_MODEL_URI] = f"https://127.0.0.1:{web.server.port}/files/model.gguf"
    error = web.pod.failed_attempt()
    assert error.reason == "EndpointUnreachable"
    assert "it seems to use plain http, but spec.model.uri has https://" in error.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (names.ENV_MODEL_URI, "https://user:password@host/file"),
        (names.ENV_MODEL_URI, "https://host/file?token=x"),
        (names.ENV_HTTPS_SHA256, ""),
        (names.ENV_HTTPS_SHA256, "A" * 64),
        (names.ENV_HTTPS_SHA256, "g" * 64),
    ],
)
def test_an_address_or_sha256_that_cannot_be_ends_the_fetcher_by_name(web: Web, name: str, value: str) -> None:
    put_file(web)
    web.pod.environment[name] = value
    assert web.pod.start().ends() == 1
    assert web.pod.last_report()["error"]["reason"] == "InvalidConfiguration"
