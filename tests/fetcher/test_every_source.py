"""What holds for every source alike: each registered one gets the same tests, in front of a real server or folder."""

import os
import random
import threading
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import cast

import pytest

from modelyard.contract import names
from modelyard.fetcher.sources.source import SOURCES
from modelyard.launcher import compile_cache, launcher
from tests.fetcher.conftest import Pod
from tests.fetcher.places import (
    FETCHED,
    ONLY_THE_PROXY_KNOWS,
    PLACES,
    Claim,
    Place,
    Server,
    certificates,
    opened,
    unused_address,
)
from tests.support.faulty_proxy import Answer
from tests.support.forward_proxy import ForwardProxy, forward_proxy
from tests.support.object_store import ObjectStore

MIB = 1024 * 1024
WEIGHTS = random.Random(1).randbytes(4 * MIB)
FIRST_BYTES = MIB
MODEL = {"config.json": b"{}", "empty": b"", "weights/a b+c=ü.safetensors": WEIGHTS}
SIMPLE = {"config.json": b"{}", "weights": WEIGHTS}


def test_no_source_is_missing_here() -> None:
    assert set(PLACES) == set(SOURCES)


def _store(request: pytest.FixtureRequest, scheme: str) -> ObjectStore | None:
    return cast("ObjectStore", request.getfixturevalue("store")) if scheme == "s3" else None


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, bare_pod: Pod) -> Iterator[Place]:
    with opened(PLACES[request.param], bare_pod, _store(request, request.param)) as place:
        yield place


@pytest.fixture(params=sorted(FETCHED))
def server(request: pytest.FixtureRequest, bare_pod: Pod) -> Iterator[Server]:
    with opened(PLACES[request.param], bare_pod, _store(request, request.param)) as server:
        assert isinstance(server, Server)
        yield server


@pytest.fixture(params=sorted(FETCHED))
def tls_server(request: pytest.FixtureRequest, bare_pod: Pod) -> Iterator[Server]:
    """A server with a certificate that only the private CA vouches for."""
    with opened(PLACES[request.param], bare_pod, _store(request, request.param), with_tls=True) as server:
        assert isinstance(server, Server)
        server.pod.environment.pop(names.ENV_CA_BUNDLE, None)
        yield server


def arrived(place: Place) -> dict[str, bytes]:
    """The model as the engine would see it."""
    if isinstance(place, Claim):
        return {
            str(file.relative_to(place.folder)): file.read_bytes() for file in place.folder.rglob("*") if file.is_file()
        }
    return place.pod.files()


def is_weights(answer: Answer) -> bool:
    return answer.request.startswith("GET ") and "weights" in answer.request


def test_the_whole_model_is_there_with_nested_folders_and_empty_files(place: Place) -> None:
    place.put(MODEL)
    state = place.pod.attempt()
    assert arrived(place) == MODEL
    assert (state.bytes_done, state.bytes_total) == (len(WEIGHTS) + 2, len(WEIGHTS) + 2)
    assert state.error is None
    assert state.unverified_files == 0


def test_the_program_ends_well_with_the_launcher_in_place(place: Place) -> None:
    place.put({"config.json": b"{}"})
    place.pod.run()
    for program in (launcher, compile_cache):
        original = Path(str(program.__file__))
        assert (place.pod.launcher_folder / original.name).read_bytes() == original.read_bytes()
    assert len(list(place.pod.launcher_folder.iterdir())) == 2
    report = place.pod.last_report()
    assert (report["phase"], report["error"], report["bytesDone"]) == ("Done", None, 2)
    assert report["mounted"] is not place.is_fetched
    assert (report["digest"] is None) is not place.is_fetched


def test_what_is_missing_is_reported_by_name_and_found_once_it_appears(place: Place) -> None:
    place.put({"config.json": b"{}"})
    uri = place.pod.environment[names.ENV_MODEL_URI]
    named = place.request_what_is_missing()
    error = place.pod.failed_attempt()
    assert error.reason == "ModelNotFound"
    assert named in error.message
    assert "spec.model.uri" in error.message
    place.pod.environment[names.ENV_MODEL_URI] = uri
    assert place.pod.attempt().error is None


def test_what_is_denied_is_reported_by_name(place: Place) -> None:
    place.put({"config.json": b"{}"})
    named = place.request_what_is_denied()
    # root reads what it likes, as long as it has these two rights
    without = "-dac_override,-dac_read_search"
    before = ("setpriv", f"--inh-caps={without}", f"--bounding-set={without}") if os.getuid() == 0 else ()
    place.pod.start(*before)
    error = place.pod.error()
    assert error["reason"] == "AccessDenied"
    assert named in error["message"]


def test_a_file_that_would_leave_its_folder_is_refused(place: Place) -> None:
    place.put({"config.json": b"{}"})
    place.put_unsafe()
    assert place.pod.failed_attempt().reason == "UnsafeKey"


def test_a_connection_that_is_cut_again_and_again_still_brings_the_model(server: Server) -> None:
    resets = cycle((True, False))

    def cut(answer: Answer, data: bytes) -> bytes | None:
        if not is_weights(answer) or answer.passed_bytes <= FIRST_BYTES:
            return data
        if next(resets):
            return None  # what the client had not read yet is lost
        raise ConnectionAbortedError  # closed in good order: what was sent before arrives

    server.put(SIMPLE)
    server.link.fault = cut
    server.pod.attempt()
    assert server.pod.files() == SIMPLE


def test_bytes_that_stay_wrong_are_refused_with_the_file_named(server: Server) -> None:
    def flip(answer: Answer, data: bytes) -> bytes:
        is_late = is_weights(answer) and answer.passed_bytes > FIRST_BYTES
        return data[:-1] + bytes([data[-1] ^ 1]) if is_late else data

    server.put(SIMPLE)
    server.link.fault = flip
    error = server.pod.failed_attempt()
    assert error.reason == "ChecksumMismatch"
    assert "weights does not match its checksum" in error.message


@pytest.mark.parametrize(
    ("where", "status", "reason", "words"),
    [
        ("everything", 429, "Throttled", "429"),
        ("everything", 500, "SourceError", "500"),
        ("weights", 502, "SourceError", "502"),
    ],
)
def test_a_source_that_throttles_or_fails_is_reported_as_such(
    server: Server, where: str, status: int, reason: str, words: str
) -> None:
    def fail(answer: Answer, data: bytes) -> bytes:
        if where == "weights" and not is_weights(answer):
            return data
        return b"" if answer.passed_bytes else b"HTTP/1.1 %d Oops\r\nContent-Length: 0\r\n\r\n" % status

    server.put(SIMPLE)
    server.link.fault = fail
    failure = server.pod.failed_attempt()
    assert failure.reason == reason
    assert words in failure.message
    assert "correct" not in failure.message


def test_bytes_that_stay_wrong_are_not_fetched_a_third_time_until_there_are_others(server: Server) -> None:
    transferred: list[str] = []

    def spoil(answer: Answer, data: bytes) -> bytes:
        if is_weights(answer) and b"right bytes" in data:
            transferred.append(answer.request)
            return data.replace(b"right bytes", b"wrong bytes")
        return data

    server.put({"weights": b"the right bytes"})
    server.link.fault = spoil
    failure = server.pod.failed_attempt()
    assert failure.reason == "ChecksumMismatch"
    assert "twice with the same bytes" in failure.message
    assert server.pod.failed_attempt().message == failure.message
    assert len(transferred) == 2
    server.put({"weights": b"other bytes"})
    server.pod.attempt()
    assert server.pod.files() == {"weights": b"other bytes"}


def test_a_server_that_disconnects_before_each_first_byte_is_reported(server: Server) -> None:
    server.put(SIMPLE)
    server.link.fault = lambda answer, data: None if is_weights(answer) else data
    assert server.pod.failed_attempt().reason == "EndpointUnreachable"


def test_a_model_that_is_replaced_in_mid_fetch_is_never_mixed(server: Server) -> None:
    old, new = {"weights": WEIGHTS}, {"weights": WEIGHTS[::-1]}
    go_on = threading.Event()

    def hold_then_cut(answer: Answer, data: bytes) -> bytes | None:
        if go_on.is_set() or not is_weights(answer) or answer.passed_bytes <= FIRST_BYTES:
            return data
        go_on.wait()
        return None

    server.put(old)
    server.link.fault = hold_then_cut
    try:
        running = server.pod.start()
        server.pod.bytes_come()
        server.put(new)
    finally:
        go_on.set()
    if server.after_a_change == "error":
        assert server.pod.error()["reason"] == "ChecksumMismatch"
        assert server.pod.files() == {}
    else:
        assert running.ends() == 0, running.output
        assert server.pod.files() == (new if server.after_a_change == "new" else old)


def test_a_server_that_refuses_connections_is_reported_at_once(server: Server) -> None:
    server.reach(unused_address(server.pod.environment.get(names.ENV_MODEL_URI, "").partition(":")[0]))
    server.pod.environment.setdefault(names.ENV_HTTPS_SHA256, "0" * 64)
    error = server.pod.failed_attempt()
    assert error.reason == "EndpointUnreachable"
    assert "the connection is refused" in error.message
    assert "spec.model." in error.message


def test_a_server_whose_name_does_not_resolve_is_reported(server: Server) -> None:
    server.reach(f"https://{ONLY_THE_PROXY_KNOWS}")
    server.pod.environment.setdefault(names.ENV_HTTPS_SHA256, "0" * 64)
    error = server.pod.failed_attempt()
    assert error.reason == "EndpointUnreachable"
    assert "its host name is not known to DNS" in error.message


def test_a_private_ca_is_not_trusted_until_its_bundle_is_given(tls_server: Server) -> None:
    tls_server.put(SIMPLE)
    error = tls_server.pod.failed_attempt()
    assert error.reason == "CertificateNotTrusted"
    assert "spec.model.caBundle" in error.message
    tls_server.pod.environment[names.ENV_CA_BUNDLE] = str(certificates().ca)
    tls_server.pod.attempt()
    assert tls_server.pod.files() == SIMPLE


@pytest.fixture
def proxy(tls_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    """A proxy before a server whose name only the proxy knows."""
    tls_server.pod.environment[names.ENV_CA_BUNDLE] = str(certificates().ca)
    tls_server.reach(f"https://{ONLY_THE_PROXY_KNOWS}:{tls_server.link.port}")
    with forward_proxy() as proxy:
        for name in names.ENV_PROXY:
            monkeypatch.setenv(name, proxy.url)
        yield proxy


def test_a_model_comes_through_a_proxy(tls_server: Server, proxy: ForwardProxy) -> None:
    tls_server.put(SIMPLE)
    tls_server.pod.attempt()
    assert tls_server.pod.files() == SIMPLE
    assert f"{ONLY_THE_PROXY_KNOWS}:{tls_server.link.port}" in proxy.targets


def test_a_host_that_is_excepted_is_reached_without_the_proxy(
    tls_server: Server, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls_server.put(SIMPLE)
    tls_server.reach(tls_server.link.endpoint)
    monkeypatch.setenv(names.ENV_NO_PROXY, ".example.com,127.0.0.1,localhost")
    tls_server.pod.attempt()
    assert tls_server.pod.files() == SIMPLE
    assert proxy.targets == []


@pytest.mark.parametrize(("status", "words"), [(407, "requires a user and password"), (403, "refused to connect")])
def test_a_proxy_that_refuses_is_named(tls_server: Server, proxy: ForwardProxy, status: int, words: str) -> None:
    tls_server.put(SIMPLE)
    proxy.refusal = status
    error = tls_server.pod.failed_attempt()
    assert error.reason == "ProxyFailed"
    assert f"the proxy {proxy.url} {words}" in error.message


@pytest.mark.usefixtures("proxy")
def test_a_proxy_that_cannot_be_reached_is_named(tls_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    tls_server.put(SIMPLE)
    unreachable = unused_address("http")
    for name in names.ENV_PROXY:
        monkeypatch.setenv(name, unreachable)
    error = tls_server.pod.failed_attempt()
    assert error.reason == "ProxyFailed"
    assert f"the proxy {unreachable} is unreachable: the connection is refused" in error.message


def test_a_missing_secret_is_named_and_the_fetch_goes_on_when_it_comes(server: Server) -> None:
    server.put(SIMPLE)
    server.require_secret()
    server.pod.take_secret()
    error = server.pod.failed_attempt()
    assert error.reason == "CredentialsMissing"
    assert "Secret 's3-read' does not exist in this namespace" in error.message
    assert all(key in error.message for key in server.right_secret)
    server.pod.give_keys(server.right_secret)
    server.pod.attempt()
    assert server.pod.files() == SIMPLE


def test_a_secret_that_no_request_can_carry_is_named_and_not_shown(server: Server) -> None:
    server.put(SIMPLE)
    server.require_secret()
    *_, key = server.right_secret
    server.pod.give_keys(server.right_secret | {key: "bro\nken"})
    error = server.pod.failed_attempt()
    assert error.reason == "CredentialsInvalid"
    assert f"key {key} of Secret 's3-read' contains line breaks" in error.message
    assert "bro" not in error.message.replace("broken", "")


def test_no_secret_is_ever_shown_be_it_right_or_wrong(server: Server) -> None:
    server.put(SIMPLE)
    server.require_secret()
    server.pod.give_keys(server.right_secret | server.wrong_secret)
    running = server.pod.start()
    error = server.pod.error()
    assert error["reason"] == "CredentialsInvalid"
    assert "Secret 's3-read'" in error["message"]
    shown = str(server.pod.state())
    server.pod.give_keys(server.right_secret)
    assert running.ends() == 0, running.output
    shown += running.output + server.pod.termination_log.read_text()
    secrets = {*server.wrong_secret.values(), *server.right_secret.values()} - {"reader"}  # an AWS key id is public
    assert [secret for secret in secrets if secret in shown] == []
