"""The cache on a real folder: what is whole, what is arriving, and the one step between the two."""

from pathlib import Path, PurePosixPath

import pytest

from modelyard.fetcher.manifest import RemoteFile
from modelyard.fetcher.store import Store
from modelyard.layout import CacheLayout

DIGEST = f"sha256:{'ab' * 32}"
OTHER = f"sha256:{'cd' * 32}"
FILE = RemoteFile(PurePosixPath("weights/a"), 3, "m/weights/a", "v", None)


@pytest.fixture
def layout(tmp_path: Path) -> CacheLayout:
    return CacheLayout(tmp_path)


def stage(store: Store, content: bytes = b"abc") -> Path:
    """Stages the model, and returns the folder of what arrived."""
    staging = store.stage(DIGEST)
    arriving = staging.arriving(FILE)
    arriving.write_bytes(content)
    staging.accept(FILE, arriving)
    return staging.model


def test_an_entry_appears_by_one_rename(layout: CacheLayout) -> None:
    store = Store(layout)
    model = stage(store)
    inode = model.stat().st_ino
    assert not layout.entry(DIGEST).exists()
    store.publish(DIGEST, store.stage(DIGEST))
    assert layout.entry(DIGEST).stat().st_ino == inode
    assert (layout.entry(DIGEST) / "weights/a").read_bytes() == b"abc"
    assert list(layout.staging.iterdir()) == []


def test_a_broken_entry_is_replaced_by_a_whole_one(layout: CacheLayout) -> None:
    store = Store(layout)
    layout.entry(DIGEST).mkdir(parents=True)
    assert not store.holds(DIGEST, [FILE])
    stage(store)
    store.publish(DIGEST, store.stage(DIGEST))
    assert store.holds(DIGEST, [FILE])
    assert list(layout.staging.iterdir()) == []


def test_what_arrived_whole_is_there_after_a_restart_and_what_did_not_is_not(layout: CacheLayout) -> None:
    stage(Store(layout))
    second = RemoteFile(PurePosixPath("b"), 3, "m/b", "v", None)
    Store(layout).stage(DIGEST).arriving(second).write_bytes(b"abc")
    staging = Store(layout).stage(DIGEST)
    assert staging.holds(FILE)
    assert not staging.holds(second)
    assert not staging.arriving(second).exists()


def test_leftovers_of_other_content_are_removed(layout: CacheLayout) -> None:
    stage(Store(layout))
    Store(layout).stage(OTHER)
    assert [folder.name for folder in layout.staging.iterdir()] == [layout.entry(OTHER).name]


def test_a_pods_link_moves_to_other_content(layout: CacheLayout) -> None:
    store = Store(layout)
    store.link("0a-1b", DIGEST)
    store.link("0a-1b", OTHER)
    assert layout.link("0a-1b").readlink() == Path(f"../entries/{layout.entry(OTHER).name}")
    assert [link.name for link in layout.by_pod.iterdir()] == ["0a-1b"]
