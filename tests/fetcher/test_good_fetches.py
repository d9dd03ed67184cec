"""A model that is there and may be read, in each of the ways in which S3 stores one."""

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelyard.contract import names
from tests.fetcher.conftest import Pod
from tests.support.object_store import MODELS, ObjectStore
from tests.support.peak_memory import peak_memory_bytes

MIB = 1024 * 1024
WEIGHTS = os.urandom(3 * MIB + 17)


def digest_of_weights(store: ObjectStore, algorithm: str | None, part_sizes: tuple[int, ...] = ()) -> str:
    """The digest of a model with the one file `weights`, verified by that checksum; by its ETag without one.

    ``part_sizes`` are those of its upload, which count for a composite checksum only.
    """
    stored = store.stored("model/weights")
    value = stored[f"Checksum{algorithm}"] if algorithm else stored["ETag"].strip('"')
    sizes = f", {list(part_sizes)}" if "-" in value else ""
    line = f'["weights", {stored["ContentLength"]}, "{algorithm or "ETag"}", "{value}"{sizes}]\n'
    return f"sha256:{hashlib.sha256(line.encode()).hexdigest()}"


def test_a_folder_arrives_with_every_file_and_nothing_else(store: ObjectStore, pod: Pod) -> None:
    store.put("model/config.json", b"{}")
    store.put("model/weights/a b+c=ü.safetensors", WEIGHTS)
    store.put("model/empty", b"")
    store.put("model/weights/", b"")
    store.put("model-2/other", b"not ours")
    pod.attempt()
    assert pod.files() == {"config.json": b"{}", "weights/a b+c=ü.safetensors": WEIGHTS, "empty": b""}
    assert pod.left_in_staging() == []


def test_a_single_object_arrives_as_a_folder_with_one_file(store: ObjectStore, pod: Pod) -> None:
    store.put("deep/model.gguf", WEIGHTS)
    store.put("deep/model.gguf.md5", b"not ours")
    pod.environment[names.ENV_MODEL_URI] = f"s3://{MODELS}/deep/model.gguf"
    pod.attempt()
    assert pod.files() == {"model.gguf": WEIGHTS}


def test_a_slash_at_the_uris_end_means_nothing_and_a_question_mark_is_a_letter(store: ObjectStore, pod: Pod) -> None:
    store.put("what?/a#b%20c", WEIGHTS)
    pod.environment[names.ENV_MODEL_URI] = f"s3://{MODELS}/what?/"
    pod.attempt()
    assert pod.files() == {"a#b%20c": WEIGHTS}


def test_a_whole_bucket_is_a_model_too(store: ObjectStore, pod: Pod) -> None:
    store.put("config.json", b"{}")
    pod.environment[names.ENV_MODEL_URI] = f"s3://{MODELS}"
    pod.attempt()
    assert pod.files() == {"config.json": b"{}"}


def test_a_listing_of_many_pages_is_read_to_its_end(store: ObjectStore, pod: Pod) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: store.put(f"model/{number}", b""), range(1001)))
    pod.attempt()
    assert len(pod.files()) == 1001


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"])
def test_each_checksum_of_a_whole_object_is_verified(store: ObjectStore, pod: Pod, algorithm: str) -> None:
    store.put("model/weights", WEIGHTS, ChecksumAlgorithm=algorithm)
    assert pod.attempt().digest == digest_of_weights(store, algorithm)
    assert pod.files() == {"weights": WEIGHTS}


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256", None])
def test_an_upload_in_unequal_parts_is_verified(store: ObjectStore, pod: Pod, algorithm: str | None) -> None:
    parts = [os.urandom(5 * MIB), os.urandom(6 * MIB + 1), os.urandom(11)]
    store.put_in_parts("model/weights", parts, algorithm)
    assert store.stored("model/weights")["ETag"].endswith('-3"')
    assert pod.attempt().digest == digest_of_weights(store, algorithm, tuple(map(len, parts)))
    assert pod.files() == {"weights": b"".join(parts)}


def test_the_final_report_states_what_was_fetched(store: ObjectStore, pod: Pod) -> None:
    store.put("model/weights", WEIGHTS, ChecksumAlgorithm="SHA256")
    pod.run()
    report = pod.last_report()
    assert report["phase"] == "Done"
    assert report["uri"] == "s3://models/model"
    assert report["bytesDone"] == report["bytesTotal"] == len(WEIGHTS)
    assert report["cacheHit"] is False
    assert report["medium"] == "Ephemeral"
    assert report["fetchedBytes"] == len(WEIGHTS)
    assert report["seconds"] > 0
    assert report["waitingForPod"] is None
    assert report["error"] is None
    assert report["digest"] == digest_of_weights(store, "SHA256")


def test_a_model_that_is_here_already_costs_no_bytes(store: ObjectStore, pod: Pod) -> None:
    store.put("model/weights", WEIGHTS)
    pod.attempt()
    before = (pod.model() / "weights").stat()
    assert pod.attempt().cache_hit
    after = (pod.model() / "weights").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_new_content_at_the_source_is_another_entry(store: ObjectStore, pod: Pod) -> None:
    store.put("model/weights", WEIGHTS)
    pod.attempt()
    store.put("model/weights", b"new")
    pod.attempt()
    assert pod.files() == {"weights": b"new"}
    assert len(list((pod.cache / "entries").iterdir())) == 2


def test_an_entry_that_lost_a_file_is_fetched_again(store: ObjectStore, pod: Pod) -> None:
    store.put("model/config.json", b"{}")
    store.put("model/weights", WEIGHTS)
    pod.attempt()
    (pod.model() / "weights").unlink()
    pod.attempt()
    assert pod.files() == {"config.json": b"{}", "weights": WEIGHTS}
    assert pod.left_in_staging() == []


def test_another_user_can_read_all_of_it(store: ObjectStore, pod: Pod) -> None:
    store.put("model/weights/a", WEIGHTS)
    pod.run()
    entry = pod.model().resolve()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (entry, *entry.rglob("*"))}
    assert modes == {entry: 0o755, entry / "weights": 0o755, entry / "weights/a": 0o644}
    assert stat.S_IMODE((pod.launcher_folder / "launcher.py").stat().st_mode) == 0o644


def test_the_pods_link_works_wherever_the_cache_is_mounted(store: ObjectStore, pod: Pod) -> None:
    store.put("model/weights", WEIGHTS)
    pod.attempt()
    moved = pod.cache.rename(pod.cache.with_name("elsewhere"))
    assert (moved / pod.model().relative_to(pod.cache) / "weights").read_bytes() == WEIGHTS


def test_the_engines_compile_cache_has_its_folder_which_every_user_may_write(store: ObjectStore, pod: Pod) -> None:
    store.put("model/weights", WEIGHTS)
    pod.environment[names.ENV_COMPILE_KEY] = "0123456789abcdef"
    pod.run()
    assert stat.S_IMODE((pod.cache / "compile" / "0123456789abcdef").stat().st_mode) == 0o777


def test_an_endpoint_may_be_written_in_capitals(store: ObjectStore, pod: Pod) -> None:
    store.put("model/weights", WEIGHTS)
    pod.environment[names.ENV_S3_ENDPOINT] = store.endpoint.replace("127.0.0.1", "LocalHost")
    pod.attempt()
    assert pod.files() == {"weights": WEIGHTS}


def test_a_pinned_digest_that_the_source_holds_is_accepted(store: ObjectStore, pod: Pod) -> None:
    store.put("model/weights", WEIGHTS)
    digest = pod.attempt().digest
    assert digest
    pod.environment[names.ENV_MODEL_DIGEST] = digest
    assert pod.attempt().digest == digest


def test_memory_is_bounded_whatever_the_models_size(store: ObjectStore, pod: Pod) -> None:
    block = os.urandom(60 * MIB)
    for number in range(5):
        store.put(f"model/{number}", block)
    store.put("model/last", b"")
    peak_bytes = peak_memory_bytes(pod.command, pod.environment)
    assert peak_bytes < 128 * MIB
    assert sum(path.stat().st_size for path in pod.model().iterdir()) == 300 * MIB
