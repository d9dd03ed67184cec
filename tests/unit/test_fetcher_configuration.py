"""What the fetcher reads from its environment, and what it refuses there."""

from pathlib import Path

import pytest

from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.fetcher.configuration import Configuration

LEAST = {names.ENV_MODEL_URI: "s3://models/a", names.ENV_POD_UID: "0a-1b"}


def test_a_uri_and_a_pod_uid_are_enough() -> None:
    assert Configuration.from_environment(LEAST) == Configuration(uri="s3://models/a", pod_uid="0a-1b")


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    empty = {names.ENV_S3_ENDPOINT: "", names.ENV_CREDENTIALS_SECRET: "", names.ENV_CA_BUNDLE: ""}
    assert Configuration.from_environment(LEAST | empty) == Configuration.from_environment(LEAST)


def test_the_ca_bundle_is_a_path() -> None:
    configuration = Configuration.from_environment(LEAST | {names.ENV_CA_BUNDLE: "/etc/modelyard/ca/ca.crt"})
    assert configuration.ca_bundle == Path("/etc/modelyard/ca/ca.crt")


def test_what_only_some_sources_need_is_read_too() -> None:
    configuration = Configuration.from_environment(
        LEAST | {names.ENV_HF_ENDPOINT: "https://hub", names.ENV_HTTPS_SHA256: "0", names.ENV_CLAIM: "/mnt"}
    )
    assert (configuration.hf_endpoint, configuration.https_sha256, configuration.claim) == (
        "https://hub",
        "0",
        Path("/mnt"),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (names.ENV_MODEL_URI, ""),
        (names.ENV_POD_UID, ""),
        (names.ENV_POD_UID, "../entries"),
        (names.ENV_MODEL_DIGEST, "sha256:abc"),
        (names.ENV_S3_ADDRESSING_STYLE, "dns"),
        (names.ENV_CACHE_MEDIUM, "Memory"),
        (names.ENV_REVISION_KEY, "../../etc/passwd"),
        (names.ENV_COMPILE_KEY, "../entries"),
        (names.ENV_STATE_PORT, "0"),
        (names.ENV_STATE_PORT, "http"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        Configuration.from_environment(LEAST | {name: value})
    assert refusal.value.reason == "InvalidConfiguration"
    assert name in refusal.value.message


def test_what_the_node_cache_needs_is_read() -> None:
    key = "0123456789abcdef"
    configuration = Configuration.from_environment(
        LEAST
        | {names.ENV_CACHE_MEDIUM: "NodeLocal", names.ENV_REVISION_KEY: key, names.ENV_COMPILE_KEY: key}
        | {names.ENV_REVISION_FOLDER: "/elsewhere"}
    )
    assert (configuration.cache_medium, configuration.revision_key, configuration.compile_key) == (
        "NodeLocal",
        key,
        key,
    )
    assert configuration.revision_folder == Path("/elsewhere")
