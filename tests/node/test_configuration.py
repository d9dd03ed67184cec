"""What the agent reads from its environment."""

from pathlib import Path

import pytest

from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.node.configuration import Configuration

GOOD = {
    names.ENV_NODE_NAME: "worker",
    names.ENV_NODE_CACHE_PATH: "/mnt/modelyard",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
}


def test_amounts_are_of_the_disk_and_the_share_is_of_the_budget() -> None:
    given = {names.ENV_NODE_BUDGET: "50%", names.ENV_NODE_RESERVE: "100", names.ENV_NODE_GUARANTEED_SHARE: "10%"}
    limits = Configuration.from_environment(GOOD | given).limits(capacity_bytes=1000)
    assert (limits.budget_bytes, limits.reserve_bytes, limits.guaranteed_bytes) == (500, 100, 50)


def test_everything_else_has_a_default_and_an_empty_value_is_none() -> None:
    configuration = Configuration.from_environment(GOOD | {names.ENV_NODE_PORT: ""})
    assert configuration.port == names.NODE_PORT
    assert configuration.pods_folder == Path("/var/lib/kubelet/pods")


def test_an_address_of_the_newer_kind_makes_a_url() -> None:
    configuration = Configuration.from_environment(GOOD | {"KUBERNETES_SERVICE_HOST": "fd00::1"})
    assert configuration.api_server == "https://[fd00::1]:443"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (names.ENV_NODE_NAME, "", "is not set"),
        (names.ENV_NODE_CACHE_PATH, "", "is not set"),
        (names.ENV_NODE_CACHE_PATH, "mnt", "absolute"),
        (names.ENV_NODE_CACHE_PATH, "/mnt/../etc", "absolute"),
        (names.ENV_NODE_BUDGET, "much", "is not a size"),
        (names.ENV_NODE_RESERVE, "120%", "more than 100%"),
        (names.ENV_NODE_LEFTOVER_AGE_S, "an hour", "not a number of seconds"),
        (names.ENV_NODE_CHECK_INTERVAL_S, "0", "greater than 0"),
        (names.ENV_NODE_PORT, "70000", "not a port"),
        ("KUBERNETES_SERVICE_HOST", "", "is not set"),
        ("KUBERNETES_SERVICE_HOST", "a/b@c", "not a host"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words) as refused:
        Configuration.from_environment(GOOD | {name: value})
    assert name in refused.value.message
