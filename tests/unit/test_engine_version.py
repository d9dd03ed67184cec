"""What an engine's version is known to be."""

import pytest

from modelyard.integrations.engines.version import EngineVersion


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("vllm/vllm-openai:v0.32.0", "0.32.0"),
        ("vllm/vllm-openai-cpu:v0.32.0-x86_64", "0.32.0"),
        ("registry.example.com:5000/vllm:0.18", "0.18"),
        ("vllm/vllm-openai:v0.17.1@sha256:abc", "0.17.1"),
    ],
)
def test_an_images_tag_tells_the_version(image: str, text: str) -> None:
    assert str(EngineVersion.of_image(image)) == text


@pytest.mark.parametrize(
    "image",
    ["vllm/vllm-openai", "vllm:latest", "vllm:nightly-0.32.0", "vllm@sha256:0a", "registry.example.com:5000/vllm"],
)
def test_an_image_whose_tag_is_no_version_has_what_the_newest_has(image: str) -> None:
    version = EngineVersion.of_image(image)
    assert version.has(since=(999, 0))
    assert str(version) == "unknown, taken as the newest known"


@pytest.mark.parametrize(
    ("text", "has"), [("0.17.9", False), ("0.18.0", True), ("0.18", True), ("0.100.0", True), ("1.0", True)]
)
def test_releases_compare_as_numbers(text: str, has: bool) -> None:
    assert EngineVersion.parse(text).has(since=(0, 18)) is has


def test_no_version_is_longer_than_the_status_holds() -> None:
    assert len(str(EngineVersion.of_image(f"vllm:1.{'2' * 100}.3"))) <= 63
