"""The cache on a real folder: what is whole, what is arriving, and the one step between the two."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from modelyard.contract.cache_layout import CacheLayout
from modelyard.fetcher.content.checksums import Algorithm, Checksum, new_hash
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.disk import lock
from modelyard.fetcher.disk.staging import Staging
from modelyard.fetcher.disk.store import Store, record_of

DIGEST = f"sha256:{'ab' * 32}"
OTHER = f"sha256:{'cd' * 32}"
FILE = RemoteFile(PurePosixPath("weights/a"), 3, "m/weights/a", "v", Checksum.sha256("0" * 64))


@pytest.fixture
def layout(tmp_path: Path) -> CacheLayout:
    return CacheLayout(tmp_path)


def _discard(digest: str) -> None:
    raise AssertionError(f"nothing of {digest} is another user's")


def opened(layout: CacheLayout, discard: Callable[[str], None] = _discard) -> Store:
    store = Store(layout, discard)
    store.make_folders()
    return store


def stage(store: Store, content: bytes = b"abc", digest: str = DIGEST) -> Staging:
    """Stages the model as a fetch does that then ends."""
    staging = Staging(store.staging_folder(digest))
    arriving = staging.open(FILE)
    arriving.write(memoryview(content), 0)
    arriving.close()
    staging.accept(FILE, int(_crc(content), 16))
    return staging


def publish(store: Store, staging: Staging, digest: str = DIGEST) -> None:
    store.publish(digest, staging, record_of("s3://m", digest, [FILE], staging.model, staging.crc64nvme))


def test_an_entry_appears_by_one_rename_with_its_record(layout: CacheLayout) -> None:
    store = opened(layout)
    inode = stage(store).model.stat().st_ino
    assert not store.holds(DIGEST, [FILE])
    publish(store, Staging(store.staging_folder(DIGEST)))
    assert store.holds(DIGEST, [FILE])
    assert layout.entry(DIGEST).stat().st_ino == inode
    assert (layout.entry(DIGEST) / "weights/a").read_bytes() == b"abc"
    assert list(layout.staging.iterdir()) == []
    record = json.loads(layout.record(DIGEST).read_text())
    assert record.pop("fetched_at").endswith("+00:00")
    assert record == {
        "uri": "s3://m",
        "digest": DIGEST,
        "files": [
            {
                "path": "weights/a",
                "size": 3,
                "mtime_ns": (layout.entry(DIGEST) / "weights/a").stat().st_mtime_ns,
                "crc64nvme": _crc(b"abc"),
                "checksum": f"SHA256:{'0' * 64}",
            }
        ],
    }


def _crc(content: bytes) -> str:
    crc = new_hash(Algorithm.CRC64NVME)
    crc.update(content)
    return crc.digest().hex()


def lose_a_file(layout: CacheLayout) -> None:
    (layout.entry(DIGEST) / "weights/a").unlink()


def touch_a_file(layout: CacheLayout) -> None:
    os.utime(layout.entry(DIGEST) / "weights/a", ns=(1, 1))


def lose_the_record(layout: CacheLayout) -> None:
    layout.record(DIGEST).unlink()


def name_another_file(layout: CacheLayout) -> None:
    record = layout.record(DIGEST).read_text()
    layout.record(DIGEST).write_text(record.replace("weights/a", "weights/b"))


def mark_as_corrupt(layout: CacheLayout) -> None:
    layout.corrupt(DIGEST).touch()


def put_a_link_for_a_file(layout: CacheLayout) -> None:
    file = layout.entry(DIGEST) / "weights/a"
    file.rename(layout.root / "elsewhere")
    file.symlink_to(layout.root / "elsewhere")


def put_a_link_for_the_record(layout: CacheLayout) -> None:
    layout.record(DIGEST).rename(layout.root / "elsewhere")
    layout.record(DIGEST).symlink_to(layout.root / "elsewhere")


@pytest.mark.parametrize(
    "damage",
    [
        lose_a_file,
        touch_a_file,
        lose_the_record,
        name_another_file,
        mark_as_corrupt,
        put_a_link_for_a_file,
        put_a_link_for_the_record,
    ],
)
def test_a_broken_entry_is_no_hit_and_is_replaced_by_a_whole_one(
    layout: CacheLayout, damage: Callable[[CacheLayout], None]
) -> None:
    store = opened(layout)
    publish(store, stage(store))
    damage(layout)
    assert not store.holds(DIGEST, [FILE])
    publish(store, stage(store))
    assert store.holds(DIGEST, [FILE])
    assert (layout.entry(DIGEST) / "weights/a").read_bytes() == b"abc"


@pytest.mark.parametrize("record", ["", "[]", "null", '{"files": 1}', "[" * 100_000, '{"digest": "x"}', "\x00"])
def test_a_record_that_is_none_makes_no_hit(layout: CacheLayout, record: str) -> None:
    store = opened(layout)
    publish(store, stage(store))
    layout.record(DIGEST).write_text(record)
    assert not store.holds(DIGEST, [FILE])


def test_an_engine_keeps_the_folder_that_was_replaced_under_it(layout: CacheLayout) -> None:
    store = opened(layout)
    publish(store, stage(store))
    mounted = os.open(layout.entry(DIGEST), os.O_RDONLY)
    mark_as_corrupt(layout)
    publish(store, stage(store))
    with os.fdopen(os.open("weights/a", os.O_RDONLY, dir_fd=mounted), "rb") as file:
        assert file.read() == b"abc"
    os.close(mounted)
    assert [folder.name.startswith("broken-") for folder in layout.staging.iterdir()] == [True]


def test_an_entrys_time_is_that_of_its_publication(layout: CacheLayout) -> None:
    store = opened(layout)
    staging = stage(store)
    os.utime(staging.model, ns=(1, 1))
    publish(store, staging)
    assert layout.entry(DIGEST).stat().st_mtime_ns > 1


def test_what_arrived_whole_is_there_after_a_restart_and_what_did_not_is_not(layout: CacheLayout) -> None:
    stage(opened(layout))
    second = RemoteFile(PurePosixPath("b"), 3, "m/b", "v", None)
    folder = opened(layout).staging_folder(DIGEST)
    Staging(folder).open(second).close()
    staging = Staging(folder)
    assert staging.holds(FILE)
    assert not staging.holds(second)


def test_leftovers_of_other_content_are_removed_unless_another_pod_fetches_it(layout: CacheLayout) -> None:
    store = opened(layout)
    for digest in (DIGEST, OTHER):
        stage(store, digest=digest)
    (layout.staging / "broken-entry").mkdir()
    with lock.locked(layout.lock(OTHER), lambda: None):
        store.collect_leftovers(DIGEST)
    assert {folder.name for folder in layout.staging.iterdir()} == {
        layout.staged(DIGEST).name,
        layout.staged(OTHER).name,
    }
    store.collect_leftovers(DIGEST)
    assert [folder.name for folder in layout.staging.iterdir()] == [layout.staged(DIGEST).name]


def test_what_a_fetch_left_that_was_killed_after_its_publication_is_removed_unless_it_fetches_again(
    layout: CacheLayout,
) -> None:
    store = opened(layout)
    stage(store)
    with lock.locked(layout.lock(DIGEST), lambda: None):
        store.tidy_up(DIGEST)
    assert layout.staged(DIGEST).exists()
    store.tidy_up(DIGEST)
    assert not layout.staged(DIGEST).exists()


def test_the_compile_caches_folder_is_for_every_user(layout: CacheLayout) -> None:
    store = opened(layout)
    store.make_compile_cache("0" * 16)
    store.make_compile_cache("0" * 16)
    assert stat.S_IMODE(layout.compile_cache("0" * 16).stat().st_mode) == 0o777


def test_a_pods_link_moves_to_other_content(layout: CacheLayout) -> None:
    store = opened(layout)
    store.link("0a-1b", DIGEST)
    store.link("0a-1b", OTHER)
    assert layout.link("0a-1b").readlink() == Path(f"../entries/{layout.entry(OTHER).name}")
    assert [link.name for link in layout.by_pod.iterdir()] == ["0a-1b"]
