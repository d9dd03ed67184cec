"""An agent with everything around it: a kubelet's folders, a cache on a small file system, an API server's answers."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from modelyard.node.host import mounts, syscalls
from tests.node.surroundings import Surroundings, small_disk


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system of its own, seen as the kubelet's and the cache's; whatever is mounted there ends."""
    with TemporaryDirectory(prefix="node-") as folder:  # a socket's path has 107 characters at most
        small_disk(Path(folder))
        try:
            yield Path(folder)
        finally:
            for mount in reversed(mounts.current()):
                if mount.point.is_relative_to(folder):
                    syscalls.unmount(str(mount.point))


@pytest.fixture
def around(disk: Path) -> Iterator[Surroundings]:
    """A node, its kubelet's folders and its API server's answers; agents that a test starts are stopped."""
    surroundings = Surroundings(disk)
    try:
        yield surroundings
    finally:
        surroundings.stop()
