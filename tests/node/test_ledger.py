"""What was granted, distinguished from what was not."""

from pathlib import Path

import pytest

from modelyard.node.cache.budget import Item, Kind
from modelyard.node.cache.contents import Contents
from modelyard.node.cache.grants import Grant, Ledger

MIB = 1 << 20
ONE = f"sha256-{'1' * 64}"
TWO = f"sha256-{'2' * 64}"


def held(*items: tuple[Kind, str, int], other_mib: int = 0) -> Contents:
    found = tuple(Item("ns", kind, name, size_mib * MIB, 1) for kind, name, size_mib in items)
    return Contents(found, sum(item.size_bytes for item in found) + other_mib * MIB, is_whole=True)


def granted(folder: str, size_mib: int, *, replaces: bool = False) -> Ledger:
    ledger = Ledger()
    ledger.grant(Grant("ns", folder, size_mib * MIB, replaces))
    return ledger


@pytest.mark.parametrize(
    ("contents", "replaces", "promised_mib"),
    [
        pytest.param(held(), False, 10, id="nothing has come"),
        pytest.param(held((Kind.STAGING, ONE, 4)), False, 6, id="a part has come"),
        pytest.param(held((Kind.STAGING, f"{ONE}.1000", 4)), False, 6, id="by another user"),
        pytest.param(held((Kind.STAGING, ONE, 12)), False, 0, id="more than was granted"),
        pytest.param(held((Kind.ENTRY, ONE, 10)), False, 0, id="it is whole"),
        pytest.param(held((Kind.ENTRY, ONE, 10)), True, 10, id="what is there is broken"),
        pytest.param(held((Kind.ENTRY, TWO, 10)), False, 10, id="another model is there"),
    ],
)
def test_what_is_still_to_come(contents: Contents, replaces: bool, promised_mib: int) -> None:
    ledger = granted(ONE, 10, replaces=replaces)
    assert ledger.promised_bytes("ns", contents) == {ONE: promised_mib * MIB}
    assert ledger.promised_bytes("another", contents) == {}


def test_pods_that_request_the_same_model_reserve_its_space_once() -> None:
    ledger = granted(ONE, 10)
    ledger.grant(Grant("ns", ONE, 10 * MIB))
    assert ledger.promised_bytes("ns", held()) == {ONE: 10 * MIB}


def test_a_grant_that_is_released_promises_nothing_and_is_remembered() -> None:
    ledger = granted(ONE, 10)
    ledger.release(ledger.live[0])
    contents = held((Kind.ENTRY, ONE, 10))
    assert ledger.promised_bytes("ns", contents) == {}
    assert ledger.unasked_bytes("ns", contents) == 0


@pytest.mark.parametrize(
    ("contents", "unasked_mib"),
    [
        pytest.param(held((Kind.ENTRY, ONE, 10)), 0, id="what was granted"),
        pytest.param(held((Kind.ENTRY, ONE, 10), other_mib=3), 3, id="files elsewhere"),
        pytest.param(held((Kind.ENTRY, ONE, 30)), 18.9, id="more than was granted"),
        pytest.param(held((Kind.ENTRY, TWO, 7)), 7, id="a model without a grant"),
        pytest.param(held((Kind.ENTRY, ONE, 10), (Kind.STAGING, f"broken-{ONE}-12ab", 10)), 0, id="a replaced one"),
        pytest.param(
            held((Kind.STAGING, f"broken-{ONE}-12ab", 10), (Kind.STAGING, f"broken-{ONE}-34cd", 10)),
            10,
            id="replaced ones in number",
        ),
        pytest.param(held((Kind.COMPILE_CACHE, "0123456789abcdef", 5)), 5, id="compile caches"),
    ],
)
def test_bytes_without_a_grant_are_counted(contents: Contents, unasked_mib: float) -> None:
    assert granted(ONE, 10).unasked_bytes("ns", contents) == pytest.approx(unasked_mib * MIB)


def test_what_was_granted_is_forgotten_with_the_last_of_its_bytes() -> None:
    ledger = granted(ONE, 10)
    ledger.grant(Grant("ns", TWO, MIB))
    ledger.keep_only({})
    assert set(ledger.granted["ns"]) == {ONE, TWO}, "both are still being fetched"
    for grant in list(ledger.live):
        ledger.release(grant)
    ledger.keep_only({"ns": held((Kind.STAGING, ONE, 1))})
    assert set(ledger.granted["ns"]) == {ONE}
    ledger.keep_only({})
    assert ledger.granted == {}


def test_grants_outlive_the_process_and_requesters_do_not(tmp_path: Path) -> None:
    granted(ONE, 10).save(tmp_path / "granted.json")
    loaded = Ledger.load(tmp_path / "granted.json")
    assert loaded == Ledger(live=[], granted={"ns": {ONE: 10 * MIB}})


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"ns": 1}', '{"ns": {"x": "much"}}'])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "granted.json"
    assert Ledger.load(path) is None
    path.write_text(text)
    assert Ledger.load(path) is None
