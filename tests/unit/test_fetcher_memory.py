"""What a container's limit leaves for buffers."""

from pathlib import Path

import pytest

from modelyard.fetcher.download.download import BLOCK_BYTES, BUDGET_LIMIT_BYTES, MIB, budget_bytes


@pytest.fixture
def limit(tmp_path: Path) -> Path:
    return tmp_path / "memory.max"


def test_without_a_limit_the_budget_is_the_most_that_is_of_use(limit: Path) -> None:
    assert budget_bytes((limit,)) == BUDGET_LIMIT_BYTES
    limit.write_text("max\n")
    assert budget_bytes((limit,)) == BUDGET_LIMIT_BYTES


def test_a_large_limit_changes_nothing(limit: Path) -> None:
    limit.write_text(f"{64 * 1024 * MIB}\n")
    assert budget_bytes((limit,)) == BUDGET_LIMIT_BYTES


def test_a_tight_limit_leaves_less_and_one_that_is_used_up_a_single_block(limit: Path) -> None:
    taken = 10**12  # more than any test runner takes
    limit.write_text(str(1))
    assert budget_bytes((limit,)) == BLOCK_BYTES
    limit.write_text(str(taken))
    assert budget_bytes((limit,)) == BUDGET_LIMIT_BYTES


def test_cgroup_v1_is_read_where_there_is_no_v2(limit: Path, tmp_path: Path) -> None:
    limit.write_text("1")
    assert budget_bytes((tmp_path / "absent", limit)) == BLOCK_BYTES
