"""Project quotas, as far as a file system without them shows: on one that has them they were tried by hand."""

from pathlib import Path

from modelyard.node.cache import quota
from modelyard.node.cache.namespace_folders import Parts
from modelyard.node.host import untrusted_files

NAMESPACE = "6d9b1f3e-0f5e-4f7c-8a57-2f0d1f5f0a10"


def test_a_namespaces_project_is_the_same_each_time_and_no_others() -> None:
    numbers = {quota.project(f"{NAMESPACE[:-4]}{number:04d}") for number in range(1000)}
    assert len(numbers) == 1000
    assert quota.project(NAMESPACE) == quota.project(NAMESPACE)
    assert all(2**30 <= number < 2**31 for number in numbers)


def test_what_is_handed_to_the_kernel_has_its_size() -> None:
    """Of struct fsxattr and struct if_dqblk, on every 64-bit architecture."""
    assert (quota._ATTRIBUTES.size, quota._QUOTA.size) == (28, 72)


def test_where_there_are_none_a_part_is_made_and_grows_all_the_same(disk: Path) -> None:
    with untrusted_files.opened_folder(str(disk)) as folder:
        assert not quota.Quotas().are_enforced(folder)
    parts = Parts(disk)
    parts.make(NAMESPACE, "team-a")
    parts.limit(NAMESPACE, 4096)
    (disk / NAMESPACE / "staging" / "file").write_bytes(b"x" * 100_000)
