"""Kubernetes quantities: what apimachinery's resource.Quantity documents, and what its ParseQuantity makes of it.

https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity
"""

from fractions import Fraction

import pytest
from kubernetes.utils.quantity import parse_quantity as quantity_of_the_client

from modelyard.api.quantity import number
from modelyard.contract.errors import InvalidError
from modelyard.contract.quantity import LARGEST_BINARY, SUFFIXES, parse, whole


@pytest.mark.parametrize("suffix", ["", *SUFFIXES])
@pytest.mark.parametrize("digits", ["4", "0.5", "1.25", "-3", ".5"])
def test_a_quantity_is_the_number_that_kubernetes_reads(digits: str, suffix: str) -> None:
    """As a peer of ours reads it, which neither caps nor rounds: of n only whole ones are compared."""
    if suffix != "n" or "." not in digits:
        assert parse(digits + suffix) == Fraction(quantity_of_the_client(digits + suffix))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        # <decimalSI>: n | u | m | "" | k | M | G | T | P | E
        ("1k", 1000),
        ("1E", 10**18),
        ("500m", Fraction(1, 2)),
        ("1u", Fraction(1, 10**6)),
        ("1n", Fraction(1, 10**9)),
        # <decimalExponent>: "e" or "E" and a signed number; an E without one is exa
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E+3", 1000),
        ("25e-1", Fraction(5, 2)),
        ("1.5e3", 1500),
        # <binarySI>
        ("1Ki", 1024),
        ("2Ei", 2 * 2**60),
        ("0.5Ei", 2**59),
        # <number>: digits | digits.digits | digits. | .digits, each with a sign
        ("+1", 1),
        ("-1.5", Fraction(-3, 2)),
        ("1.", 1),
        ("1.Gi", 2**30),
        (".5", Fraction(1, 2)),
        ("+.5Ki", 512),
        ("007", 7),
        ("0", 0),
        # "Parsing does cap a binarySI quantity, silently, at 2^63-1"; a decimal one "is not capped"
        ("8Ei", LARGEST_BINARY),
        ("7.5Ei", 15 * 2**59),
        ("-9Ei", -LARGEST_BINARY),
        ("18446744073709551616", 2**64),
        ("10E", 10**19),
        # "rounding a finer non-zero value away from zero, so 0.9n becomes 1n"
        ("0.9n", Fraction(1, 10**9)),
        ("-0.9n", Fraction(-1, 10**9)),
        ("0.0000000001", Fraction(1, 10**9)),
        ("1.0000000001", 1 + Fraction(1, 10**9)),
        # "1.2345 keeps its precision", and no float stands between
        ("1.2345", Fraction(12345, 10**4)),
        ("0.1", Fraction(1, 10)),
        ("9007199254740993", 9007199254740993),
        # Numbers in JSON are read as their digits
        (2, 2),
        (0.1, Fraction(1, 10)),
        (" 4Gi ", 4 * 2**30),
    ],
)
def test_each_form_means_what_kubernetes_means(text: str | float, number: Fraction | int) -> None:
    assert parse(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "four", "4 Gi", "4gi", "Gi", "NaN", "inf", "1_000", "1e999999999", "1e3Ki", "1e", "1e+", "1.1.M",
        "1+1.0M", "0.1mi", "0.1am", "1i", "-3.01i", "-3.01e-", "1KI", "1K", "+-1", "--1", "1e1.5", ".", "+", "0x10",
        "\N{ARABIC-INDIC DIGIT THREE}", "9" * 65, True, float("nan"),
    ],
)  # fmt: skip
def test_any_other_text_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse(text)


@pytest.mark.parametrize(("text", "count"), [("1k", 1000), ("1500m", 2), ("1m", 1), ("-1500m", -2), ("0", 0)])
def test_a_count_is_rounded_away_from_zero(text: str, count: int) -> None:
    assert whole(parse(text)) == count


def test_a_spec_with_another_text_is_refused_by_name() -> None:
    with pytest.raises(InvalidError, match="InvalidSpec: 'four' is not a quantity"):
        number("four")
