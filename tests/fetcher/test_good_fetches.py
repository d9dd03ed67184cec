"""A model that is there and may be read, in each of the ways in which S3 stores one."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from modelyard import launcher, names
from tests.fetcher.conftest import Fetch
from tests.support.object_store import MODELS, ObjectStore

MIB = 1024 * 1024
WEIGHTS = os.urandom(3 * MIB + 17)


def test_a_folder_arrives_with_every_file_and_nothing_else(store: ObjectStore, fetch: Fetch) -> None:
    store.put("model/config.json", b"{}")
    store.put("model/weights/a b+c=ü.safetensors", WEIGHTS)
    store.put("model/empty", b"")
    store.put("model/weights/", b"")
    store.put("model-2/other", b"not ours")
    fetch.run()
    assert fetch.files() == {"config.json": b"{}", "weights/a b+c=ü.safetensors": WEIGHTS, "empty": b""}
    assert fetch.left_in_staging() == []


def test_a_single_object_arrives_as_a_folder_with_one_file(store: ObjectStore, fetch: Fetch) -> None:
    store.put("deep/model.gguf", WEIGHTS)
    store.put("deep/model.gguf.md5", b"not ours")
    fetch.environment[names.ENV_MODEL_URI] = f"s3://{MODELS}/deep/model.gguf"
    fetch.run()
    assert fetch.files() == {"model.gguf": WEIGHTS}


def test_a_whole_bucket_is_a_model_too(store: ObjectStore, fetch: Fetch) -> None:
    store.put("config.json", b"{}")
    fetch.environment[names.ENV_MODEL_URI] = f"s3://{MODELS}"
    fetch.run()
    assert fetch.files() == {"config.json": b"{}"}


def test_a_listing_of_many_pages_is_read_to_its_end(store: ObjectStore, fetch: Fetch) -> None:
    for number in range(1100):
        store.put(f"model/{number}", b"")
    fetch.run()
    assert len(fetch.files()) == 1100


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"])
def test_each_checksum_of_a_whole_object_is_verified(store: ObjectStore, fetch: Fetch, algorithm: str) -> None:
    store.put("model/weights", WEIGHTS, ChecksumAlgorithm=algorithm)
    assert store.stored("model/weights")[f"Checksum{algorithm}"]
    fetch.run()
    assert fetch.files() == {"weights": WEIGHTS}
    assert fetch.last_word()["unverifiedFiles"] == 0


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256", None])
def test_an_upload_in_unequal_parts_is_verified(store: ObjectStore, fetch: Fetch, algorithm: str | None) -> None:
    parts = [os.urandom(5 * MIB), os.urandom(6 * MIB + 1), os.urandom(11)]
    store.put_in_parts("model/weights", parts, algorithm)
    assert store.stored("model/weights")["ETag"].endswith('-3"')
    fetch.run()
    assert fetch.files() == {"weights": b"".join(parts)}


def test_the_last_word_tells_what_was_fetched(store: ObjectStore, fetch: Fetch) -> None:
    store.put("model/weights", WEIGHTS, ChecksumAlgorithm="SHA256")
    fetch.run()
    word = fetch.last_word()
    assert word["phase"] == "Done"
    assert word["uri"] == "s3://models/model"
    assert word["bytesDone"] == word["bytesTotal"] == len(WEIGHTS)
    assert word["cacheHit"] is False
    assert word["error"] is None
    line = f'["weights", {len(WEIGHTS)}, "SHA256", "{store.stored("model/weights")["ChecksumSHA256"]}"]\n'
    assert word["digest"] == f"sha256:{hashlib.sha256(line.encode()).hexdigest()}"


def test_a_model_that_is_here_already_costs_no_bytes(store: ObjectStore, fetch: Fetch) -> None:
    store.put("model/weights", WEIGHTS)
    fetch.run()
    before = (fetch.model() / "weights").stat()
    fetch.run()
    after = (fetch.model() / "weights").stat()
    assert fetch.last_word()["cacheHit"] is True
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_new_content_at_the_source_is_another_entry(store: ObjectStore, fetch: Fetch) -> None:
    store.put("model/weights", WEIGHTS)
    fetch.run()
    store.put("model/weights", b"new")
    fetch.run()
    assert fetch.files() == {"weights": b"new"}
    assert len(list((fetch.cache / "entries").iterdir())) == 2


def test_an_entry_that_lost_a_file_is_fetched_again(store: ObjectStore, fetch: Fetch) -> None:
    store.put("model/config.json", b"{}")
    store.put("model/weights", WEIGHTS)
    fetch.run()
    (fetch.model() / "weights").unlink()
    fetch.run()
    assert fetch.files() == {"config.json": b"{}", "weights": WEIGHTS}
    assert fetch.left_in_staging() == []


def test_another_user_can_read_all_of_it(store: ObjectStore, fetch: Fetch) -> None:
    store.put("model/weights/a", WEIGHTS)
    fetch.run()
    entry = fetch.model().resolve()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (entry, *entry.rglob("*"))}
    assert modes == {entry: 0o755, entry / "weights": 0o755, entry / "weights/a": 0o644}
    assert stat.S_IMODE((fetch.launcher_folder / "launcher.py").stat().st_mode) == 0o644


def test_the_pods_link_works_wherever_the_cache_is_mounted(store: ObjectStore, fetch: Fetch) -> None:
    store.put("model/weights", WEIGHTS)
    fetch.run()
    moved = fetch.cache.rename(fetch.cache.with_name("elsewhere"))
    assert (moved / fetch.model().relative_to(fetch.cache) / "weights").read_bytes() == WEIGHTS


def test_the_launcher_is_copied_for_the_engine(store: ObjectStore, fetch: Fetch) -> None:
    store.put("model/weights", WEIGHTS)
    fetch.run()
    copies = list(fetch.launcher_folder.iterdir())
    assert [copy.name for copy in copies] == ["launcher.py"]
    assert copies[0].read_bytes() == Path(launcher.__file__).read_bytes()


def test_a_pinned_digest_that_the_source_holds_is_accepted(store: ObjectStore, fetch: Fetch) -> None:
    store.put("model/weights", WEIGHTS)
    fetch.run()
    fetch.environment[names.ENV_MODEL_DIGEST] = fetch.last_word()["digest"]
    fetch.run()


def test_memory_is_bounded_whatever_the_models_size(store: ObjectStore, fetch: Fetch) -> None:
    block = os.urandom(60 * MIB)
    for number in range(5):
        store.put(f"model/{number}", block)
    store.put("model/last", b"")
    running = fetch.start()
    peaks = []
    while fetch.state().get("phase") not in {"Publishing", "Done", None} or not peaks:
        peaks.append(running.peak_memory_bytes())
    assert running.ends() == 0
    assert max(peaks) < 128 * MIB
    assert sum(path.stat().st_size for path in fetch.model().iterdir()) == 300 * MIB
