"""What a connection that fails means to a person, in the words of both clients."""

import pytest
from botocore.exceptions import ProxyConnectionError

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.transport.connection_errors import Server, explain_connection

DIRECT = Server("https://hub.example", "spec.model.hf.endpoint", otherwise="Or use s3://")
PROXIED = Server("https://hub.example", "spec.model.hf.endpoint", "http://proxy.example:3128")


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("Failed to resolve 'hub.example' ([Errno -2] Name or service not known)", "EndpointUnreachable", "to DNS"),
        ("[Errno 111] Connection refused", "EndpointUnreachable", "the port in spec.model.hf.endpoint"),
        ("[Errno 113] No route to host", "EndpointUnreachable", "there is no route to it"),
        ("[Errno 101] Network is unreachable", "EndpointUnreachable", "there is no route to it"),
        ("Connection to hub.example timed out. (connect timeout=5)", "EndpointUnreachable", "NetworkPolicies"),
        ("('Connection aborted.', ConnectionResetError(104))", "EndpointUnreachable", "failed (('Connection aborted.'"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "EndpointUnreachable", "seems to use plain http"),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)",
            "CertificateNotTrusted",
            "not trusted (certificate has expired)",
        ),
    ],
)
def test_each_failure_has_a_name_and_a_remedy(text: str, reason: str, words: str) -> None:
    error = explain_connection(text, DIRECT)
    assert error.reason == reason
    assert "https://hub.example" in error.message
    assert words in error.message


def test_where_nothing_answers_the_error_names_what_else_can_be_done() -> None:
    assert explain_connection("Connection refused", DIRECT).message.endswith("spec.model.hf.endpoint. Or use s3://")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("('Unable to connect to proxy', NewConnectionError('[Errno 111] Connection refused'))", "is refused"),
        (str(ProxyConnectionError(proxy_url="http://proxy.example:3128", error="timed out")), "is unreachable"),
        ("OSError('Tunnel connection failed: 407 Proxy Authentication Required')", "requires a user and password"),
        ("OSError('Tunnel connection failed: 403 Forbidden')", "refused to connect to https://hub.example"),
        ("OSError('Tunnel connection failed: 502 Bad Gateway')", "cannot reach https://hub.example"),
    ],
)
def test_a_proxy_that_is_the_cause_is_named_as_such(text: str, words: str) -> None:
    error = explain_connection(text, PROXIED)
    assert error.reason is Reason.PROXY_FAILED
    assert "the proxy http://proxy.example:3128" in error.message
    assert words in error.message


def test_a_silent_server_behind_a_proxy_is_reported_with_the_proxy() -> None:
    error = explain_connection("Read timed out. (read timeout=20)", PROXIED)
    assert error.reason is Reason.ENDPOINT_UNREACHABLE
    assert "through the proxy http://proxy.example:3128" in error.message
