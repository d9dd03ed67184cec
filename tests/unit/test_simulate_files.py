"""What a person gives `modelyard simulate`: what is read, and with which words it is refused."""

from pathlib import Path

import pytest

from modelyard.scaling.simulator.profiles import PROFILES
from modelyard.simulate import files
from modelyard.simulate.invalid import InvalidInputError

SERVICE = """
apiVersion: v1
kind: Namespace
---
apiVersion: serving.modelyard.dev/v1alpha1
kind: InferenceService
spec:
  model: {uri: s3://models/llama}
  scaling: {minReplicas: 2, maxReplicas: 9, targets: {runningRequests: 12}}
"""


def _file(folder: Path, text: str, name: str = "given.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        SERVICE,
        "scaling: {minReplicas: 2, maxReplicas: 9, targets: {runningRequests: 12}}",
        "{minReplicas: 2, maxReplicas: 9, targets: {runningRequests: 12}}",
    ],
)
def test_settings_are_a_service_or_its_scaling_block(tmp_path: Path, text: str) -> None:
    found = files.scaling(_file(tmp_path, text))
    assert (found.min_replicas, found.max_replicas) == (2, 9)
    assert found.targets is not None
    assert found.targets.running_requests == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 scaling blocks"),
        ("kind: InferenceService\nspec: {replicas: 3}", "has 0 scaling blocks"),
        ("kind: InferenceService\nspec: 3", "has 0 scaling blocks"),
        (f"{SERVICE}\n---\n{SERVICE}", "has 2 scaling blocks"),
        ("maxReplicas: [", "is no YAML"),
        ("minReplicas: 1", "maxReplicas is missing"),
        ("maxReplicas: many", "maxReplicas must be a whole number, not 'many'"),
        ("{minReplicas: 4, maxReplicas: 3}", "must not exceed maxReplicas"),
        ("maxReplicas: 3\nschedules: [{start: '08:00', end: '09:00', minReplicas: 4}]", "must not exceed maxReplicas"),
        ("{maxReplicas: 3, minReplica: 2}", "minReplica is unknown: the known keys are minReplicas"),
        ("{maxReplicas: 3, scaleDown: {policies: [{typ: Pods}]}}", "scaleDown.policies.typ is unknown"),
    ],
)
def test_wrong_settings_are_refused_with_what_to_write(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        files.scaling(_file(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"none\.yaml cannot be read"):
        files.scaling(tmp_path / "none.yaml")


def test_a_profile_is_one_by_name_or_the_figures_in_a_file(tmp_path: Path) -> None:
    assert files.profile("a100-llama-8b") is PROFILES["a100-llama-8b"]
    text = (
        "{iteration_seconds: {2048: 0.2, 1: 0.01}, kv_read_seconds_per_token: 1e-7, kv_capacity_tokens: 5000, gpus: 2}"
    )
    found = files.profile(str(_file(tmp_path, text, "mine.yaml")))
    assert (found.name, found.devices, found.kv_capacity_tokens) == ("mine", 2, 5000)
    assert found.iteration_s == ((1, 0.01), (2048, 0.2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "iteration_seconds is missing"),
        ("{iteration_seconds: {1: -1}, kv_read_seconds_per_token: 0, kv_capacity_tokens: 5000}", "must take time"),
        (
            "{iteration_seconds: {1: 1}, kv_read_seconds_per_token: 0, kv_capacity: 5000}",
            "did you mean kv_capacity_tokens",
        ),
    ],
)
def test_a_wrong_profile_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        files.profile(str(_file(tmp_path, text)))


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"no profile a101.*a100-llama-8b"):
        files.profile("a101")


def test_measurements_become_a_profile(tmp_path: Path) -> None:
    rows = [
        f"{tokens},{context},{0.01 + tokens * 1e-4 + context * 1e-6}"
        for tokens in (1, 64, 512)
        for context in (0, 5000)
    ]
    found = files.measured(_file(tmp_path, "\n".join(["tokens,context_tokens,seconds", *rows])), 40_000)
    assert found.seconds(256) == pytest.approx(0.0356, rel=0.02)
    assert found.kv_read_s == pytest.approx(1e-6, rel=0.02)
    assert found.kv_capacity_tokens == 40_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokens,seconds\n1,2", "no column context_tokens"),
        ("tokens,context_tokens,seconds\n1,0,fast", "line 2: each column must be a number"),
        ("tokens,context_tokens,seconds\n1,0,0.1\n2,0", "line 3: each column must be a number"),
        ("tokens,context_tokens,seconds\n1,0,0", "takes time"),
        ("tokens,context_tokens,seconds\n1,0,0.1", "at least two sizes"),
    ],
)
def test_wrong_measurements_are_refused_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        files.measured(_file(tmp_path, text), 1000)
