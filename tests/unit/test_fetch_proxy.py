"""Which proxy a model is fetched through: the service's own, else the platform team's."""

from typing import Any

import pytest
from pydantic import ValidationError

from modelyard.api.settings import FetchProxy, Settings
from modelyard.desired.fetch_container import METADATA_SERVERS
from modelyard.desired.template_record import annotation, recorded
from tests.support.factories import service
from tests.support.rendering import SETTINGS, deployment, environment, pod_spec

OURS = FetchProxy(url="http://proxy.platform:3128")
WITH_PROXY = SETTINGS.model_copy(update={"fetch_proxy": OURS})
URI = "s3://models/a"


def proxy_environment(model: dict[str, Any], settings: Settings = SETTINGS) -> dict[str, Any]:
    """The fetcher's variables that name a proxy."""
    fetch = pod_spec(service(model=model), settings)["initContainers"][0]
    return {name: value for name, value in environment(fetch).items() if name.endswith("_PROXY")}


def proxied(url: str, *exceptions: str) -> dict[str, Any]:
    return {"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": ",".join([*exceptions, *METADATA_SERVERS])}


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ({"uri": URI}, SETTINGS, {}),
        ({"uri": URI, "proxy": {"noProxy": ["a"]}}, SETTINGS, {}),
        ({"uri": URI}, WITH_PROXY, proxied(OURS.url, ".svc", ".cluster.local")),
        ({"uri": URI, "proxy": {"noProxy": ["*"]}}, WITH_PROXY, proxied(OURS.url, ".svc", ".cluster.local", "*")),
        ({"uri": URI, "proxy": {"url": "http://p:1"}}, SETTINGS, proxied("http://p:1")),
        ({"uri": URI, "proxy": {"url": "http://p:1", "noProxy": ["a"]}}, WITH_PROXY, proxied("http://p:1", "a")),
        (
            {"uri": URI, "proxy": {"url": "http://p:1", "noProxy": ["fd00::1"]}},
            SETTINGS,
            proxied("http://p:1", "[fd00::1]"),
        ),
        ({"uri": "pvc://claim/a"}, WITH_PROXY, {}),
    ],
)
def test_the_services_proxy_wins_over_the_settings(
    model: dict[str, Any], settings: Settings, expected: dict[str, Any]
) -> None:
    assert proxy_environment(model, settings) == expected


def test_cloud_identities_are_never_requested_through_a_proxy() -> None:
    assert "169.254.169.254" in proxy_environment({"uri": URI}, WITH_PROXY)["NO_PROXY"].split(",")


def test_a_proxy_that_comes_to_the_settings_restarts_nothing() -> None:
    present = deployment(service())
    assert deployment(service(), WITH_PROXY, present) == present


def test_a_record_without_a_proxy_does_not_mention_one() -> None:
    record = recorded(deployment(service()))
    assert record
    assert "proxy" not in annotation(record)


def test_a_recorded_proxy_is_kept() -> None:
    present = deployment(service(), WITH_PROXY)
    assert deployment(service(), SETTINGS, present) == present


@pytest.mark.parametrize("url", ["proxy:3128", "http://user:word@proxy:3128", "http://proxy/path", "socks5://proxy"])
def test_a_setting_that_is_no_proxy_or_holds_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        FetchProxy(url=url)
