"""What an engine's version is known to be."""

import pytest

from modelyard.integrations.engines import ENGINES
from modelyard.integrations.engines.version import EngineVersion


@pytest.mark.parametrize(
    ("engine", "image", "text"),
    [
        ("vllm", "vllm/vllm-openai:v0.32.0", "0.32.0"),
        ("vllm", "docker.io/vllm/vllm-openai:v0.7.3", "0.7.3"),
        ("vllm", "vllm/vllm-openai-cpu:v0.32.0-x86_64", "0.32.0"),
        ("vllm", "vllm/vllm-openai-rocm:v0.18", "0.18"),
        ("vllm", "registry.example.com:5000/mirror/vllm/vllm-openai:v0.18.1", "0.18.1"),
        ("vllm", "vllm/vllm-openai:v0.17.1@sha256:abc", "0.17.1"),
        ("triton", "nvcr.io/nvidia/tritonserver:24.10-py3", "24.10"),
        ("triton", "mirror.example.com/nvidia/tritonserver:24.10-vllm-python-py3", "24.10"),
    ],
)
def test_the_tag_of_an_image_that_its_project_publishes_gives_the_version(engine: str, image: str, text: str) -> None:
    assert str(EngineVersion.of_image(image, ENGINES[engine].published)) == text


@pytest.mark.parametrize(
    "image",
    [
        "vllm/vllm-openai",
        "vllm/vllm-openai:latest",
        "vllm/vllm-openai:nightly-0.32.0",
        "vllm/vllm-openai@sha256:0a",
        "registry.example.com:5000/vllm/vllm-openai",
        "ghcr.io/llm-d/llm-d-cuda:v0.9.0",
        "lmcache/vllm-openai:v0.3.9",
        "nvcr.io/nvidia/vllm:25.09-py3",
        "registry.example.com/vllm:v0.30.1",
        "rocm/vllm:rocm6.4.1_vllm_0.9.1",
        "notvllm/vllm-openai:v0.7.0",
        "vllm/vllm-openai-theirs:v0.7.0",
    ],
)
def test_any_other_image_has_a_version_that_only_its_pods_know(image: str) -> None:
    version = EngineVersion.of_image(image, ENGINES["vllm"].published)
    assert version.has(since=(999, 0, 0))
    assert str(version) == "unknown"


@pytest.mark.parametrize(
    ("text", "has"),
    [("0.17.9", False), ("0.18.0", True), ("0.18", True), ("0.17", False), ("0.100.0", True), ("1.0", True)],
)
def test_releases_compare_as_numbers(text: str, has: bool) -> None:
    assert EngineVersion.parse(text).has(since=(0, 18, 0)) is has


def test_no_version_is_longer_than_the_status_holds() -> None:
    assert len(str(EngineVersion.of_image(f"vllm/vllm-openai:1.{'2' * 100}.3", ENGINES["vllm"].published))) <= 63
