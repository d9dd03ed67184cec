"""What a model's own index and manifest state: its shards, and the SHA-256 of each file."""

import hashlib
import json
from typing import Any

import pytest

from tests.fetcher.conftest import Pod
from tests.support.object_store import ObjectStore

SHARD = "model-00001-of-00002.safetensors"
OTHER_SHARD = "model-00002-of-00002.safetensors"
INDEX = json.dumps({"metadata": {"total_size": 12}, "weight_map": {"a": SHARD, "b": OTHER_SHARD}}).encode()


def listed(**files: bytes) -> bytes:
    """A manifest.json of these."""
    return json.dumps(
        {"files": [{"path": n, "size": len(b), "sha256": hashlib.sha256(b).hexdigest()} for n, b in files.items()]}
    ).encode()


def put(store: ObjectStore, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        store.put(f"model/{name}", content)


def test_a_model_whose_index_names_a_missing_shard_is_refused_until_it_is_there(store: ObjectStore, pod: Pod) -> None:
    model = {"model.safetensors.index.json": INDEX, SHARD: b"first"}
    put(store, model)
    running = pod.start()
    error = pod.error()
    assert error["reason"] == "ModelIncomplete"
    assert f"model/model.safetensors.index.json refers to {OTHER_SHARD}, which" in error["message"]
    assert pod.files() == {}
    store.put(f"model/{OTHER_SHARD}", b"second")
    assert running.ends() == 0
    assert pod.files() == model | {OTHER_SHARD: b"second"}


def test_a_file_that_the_models_own_list_has_otherwise_is_refused(store: ObjectStore, pod: Pod) -> None:
    put(store, {"weights": b"spoilt", "manifest.json": listed(weights=b"wanted")})
    pod.start()
    error = pod.error()
    assert error["reason"] == "ChecksumMismatch"
    for words in ("model/weights", "SHA256", hashlib.sha256(b"wanted").hexdigest()):
        assert words in error["message"]
    assert pod.files() == {}


def test_a_file_that_the_models_own_list_has_longer_is_refused_before_it_comes(store: ObjectStore, pod: Pod) -> None:
    put(store, {"weights": b"cut", "manifest.json": listed(weights=b"cut off")})
    pod.start()
    assert "model/weights has 3 bytes, but 7 in model/manifest.json" in pod.error()["message"]


def test_a_file_that_only_the_models_own_list_has_is_missed(store: ObjectStore, pod: Pod) -> None:
    put(store, {"config": b"{}", "manifest.json": listed(config=b"{}", weights=b"never came")})
    pod.start()
    error = pod.error()
    assert (error["reason"], "model/manifest.json refers to weights, which" in error["message"]) == (
        "ModelIncomplete",
        True,
    )


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"files": "none"}', b'{"files": [{"path": 1}]}', b'{"version": 1}'])
def test_another_programs_manifest_and_an_unreadable_index_are_ignored(
    store: ObjectStore, pod: Pod, content: bytes
) -> None:
    model = {"weights": b"x" * 5000, "manifest.json": content, "model.safetensors.index.json": content}
    put(store, model)
    pod.attempt()
    assert pod.files() == model


def test_a_model_that_matches_its_own_index_and_manifest_is_served(store: ObjectStore, pod: Pod) -> None:
    model: dict[str, Any] = {"weights": b"x" * 5000, SHARD: b"first", OTHER_SHARD: b"second"}
    model |= {"model.safetensors.index.json": INDEX}
    model |= {"manifest.json": listed(**model)}
    put(store, model)
    pod.attempt()
    assert pod.files() == model
    assert pod.attempt().cache_hit
