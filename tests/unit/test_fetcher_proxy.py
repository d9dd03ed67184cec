"""Which proxy a server is reached through, from the variables that a pod has."""

import pytest

from modelyard.contract import names
from modelyard.fetcher.transport.connection import proxy_of


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name.lower(), raising=False)
    for name in names.ENV_PROXY:
        monkeypatch.setenv(name, "http://proxy:3128")
    monkeypatch.setenv(names.ENV_NO_PROXY, ".example.com,10.0.0.1,[fd00::1]")


@pytest.mark.parametrize("url", ["https://huggingface.co", "http://a.example.org:8080/b", "https://10.0.0.11"])
def test_what_is_not_excepted_goes_through_the_proxy(url: str) -> None:
    assert proxy_of(url) == "http://proxy:3128"


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example.com",
        "https://example.com:8443/x",
        "http://10.0.0.1:80",
        "https://[fd00::1]/x",
        "https://[bad",
    ],
)
def test_what_is_excepted_or_no_url_does_not(url: str) -> None:
    assert proxy_of(url) is None
