"""How figures are put for people in a condition's message."""

import pytest

from modelyard.api.conditions import amount


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (23_888, "23.9 kB"),
        (99_960, "100 kB"),
        (270_000_000, "270 MB"),
        (999_499_999, "999 MB"),
        (999_500_000, "1 GB"),
        (26_000_000_000, "26 GB"),
        (1_340_000_000_000, "1.34 TB"),
        (2**53, "9007 TB"),
    ],
)
def test_a_size_has_three_digits_and_a_unit(size_bytes: int, expected: str) -> None:
    assert amount(size_bytes) == expected
