"""Kubernetes quantities as numbers."""

from decimal import Decimal

import pytest
from kubernetes.utils.quantity import parse_quantity as quantity_of_the_client

from modelyard.api.quantity import MULTIPLES, number
from modelyard.contract.errors import InvalidError


@pytest.mark.parametrize("suffix", ["", *MULTIPLES])
@pytest.mark.parametrize("digits", ["4", "0.5", "1.25", "-3", ".5"])
def test_a_quantity_is_the_number_that_kubernetes_reads(digits: str, suffix: str) -> None:
    assert number(digits + suffix) == quantity_of_the_client(digits + suffix)


def test_exponents_and_integers_are_quantities() -> None:
    assert number("1e3") == number(1000) == number("1E3") == Decimal(1000)


@pytest.mark.parametrize("text", ["", "four", "4 Gi", "4gi", "Gi", "NaN", "1_000", "1e999999999"])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is not a quantity"):
        number(text)
