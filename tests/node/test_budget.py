"""Who gets room, and what goes for it: tables, and what holds for any figures."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.contract.fetch_report import Reason
from modelyard.node.cache.budget import (
    Holding,
    Item,
    Kind,
    Limits,
    Refusal,
    evictions_for,
    evictions_to_fit,
    shortage_bytes,
)
from modelyard.node.cache.sizes import SizeOrShare, readable

LIMITS = Limits(budget_bytes=100, reserve_bytes=10, guaranteed_bytes=20, capacity_bytes=200)
ROOMY = 1000


def item(namespace: str, name: str, size_bytes: int, used_s: float, kind: Kind = Kind.ENTRY) -> Item:
    return Item(namespace, kind, name, size_bytes, used_s)


def holding(
    namespace: str, *items: Item, more_bytes: int = 0, promised_bytes: int = 0, is_over: bool = False
) -> Holding:
    used_bytes = sum(each.size_bytes for each in items) + more_bytes
    return Holding(namespace, used_bytes, items, promised_bytes, is_over_budget=is_over)


OLD, NEW = item("a", "old", 30, 1), item("a", "new", 30, 2)
OTHERS_OLD, OTHERS_NEW = item("b", "b-old", 15, 0), item("b", "b-new", 15, 3)


@pytest.mark.parametrize(
    ("requested_bytes", "holdings", "free_bytes", "evicted"),
    [
        pytest.param(40, [holding("a", OLD, NEW)], ROOMY, [], id="nothing goes while there is room"),
        pytest.param(41, [holding("a", OLD, NEW)], ROOMY, ["old"], id="the least recently used goes first"),
        pytest.param(80, [holding("a", OLD, NEW)], ROOMY, ["old", "new"], id="as much as is needed goes"),
        pytest.param(
            60, [holding("a", NEW), holding("b", OTHERS_OLD, OTHERS_NEW)], ROOMY, ["new"], id="one's own before others'"
        ),
        pytest.param(
            70, [holding("b", OTHERS_OLD, item("b", "x", 30, 5))], ROOMY, ["b-old"], id="others' above their share"
        ),
        pytest.param(
            70, [holding("b", item("b", "x", 30, 0), OTHERS_NEW)], ROOMY, ["b-new"], id="not what their share needs"
        ),
        pytest.param(50, [holding("a", replace(OLD, pins=1), NEW)], ROOMY, ["new"], id="nothing in use"),
        pytest.param(10, [holding("a", OLD)], 15, ["old"], id="the reserve counts"),
        pytest.param(
            40, [holding("a", OLD), holding("b", promised_bytes=40)], ROOMY, ["old"], id="what is promised counts"
        ),
        pytest.param(
            60,
            [holding("a", item("a", "k", 20, 1, kind=Kind.COMPILE_CACHE), NEW)],
            ROOMY,
            ["k"],
            id="compile caches go alike",
        ),
    ],
)
def test_models_are_evicted_for_the_namespace_a(
    requested_bytes: int, holdings: list[Holding], free_bytes: int, evicted: list[str]
) -> None:
    plan = evictions_for("a", requested_bytes, holdings, LIMITS, free_bytes)
    assert isinstance(plan, list)
    assert [each.name for each in plan] == evicted


@pytest.mark.parametrize(
    ("requested_bytes", "holdings", "free_bytes", "reason", "words"),
    [
        pytest.param(101, [], ROOMY, Reason.BUDGET_TOO_SMALL, "the model needs 101 B", id="more than the budget"),
        pytest.param(
            90, [holding("a", replace(OLD, pins=2))], ROOMY, Reason.CACHE_FULL, "30 B of them by models", id="in use"
        ),
        pytest.param(
            90, [holding("b", OTHERS_OLD)], ROOMY, Reason.CACHE_FULL, "5 B cannot be freed", id="others' share"
        ),
        pytest.param(20, [], 25, Reason.CACHE_FULL, "25 B of the disk are free, and 10 B must stay", id="disk is full"),
        pytest.param(
            1, [holding("a", OLD, is_over=True)], ROOMY, Reason.OVER_BUDGET, "without a reservation", id="wrote unasked"
        ),
    ],
)
def test_a_refused_request_for_space_gives_the_reason_and_the_figures(
    requested_bytes: int, holdings: list[Holding], free_bytes: int, reason: Reason, words: str
) -> None:
    plan = evictions_for("a", requested_bytes, holdings, LIMITS, free_bytes)
    assert isinstance(plan, Refusal)
    assert plan.reason is reason
    assert words in plan.message


def test_a_model_that_fits_the_budget_but_never_the_disk_is_too_large() -> None:
    small_disk = replace(LIMITS, capacity_bytes=50)
    plan = evictions_for("a", 60, [], small_disk, 50)
    assert isinstance(plan, Refusal)
    assert plan.reason is Reason.BUDGET_TOO_SMALL


def test_a_namespace_that_wrote_without_a_grant_is_evicted_first() -> None:
    honest = holding("a", item("a", "honest", 60, 1))
    greedy = holding("b", item("b", "greedy", 60, 9), is_over=True)
    assert [each.name for each in evictions_to_fit([honest, greedy], LIMITS, ROOMY)] == ["greedy"]


sizes = st.integers(0, 60)
items = st.builds(
    Item,
    namespace=st.just(""),
    kind=st.sampled_from(Kind),
    name=st.text("abcdef", min_size=4, max_size=8),
    size_bytes=sizes,
    last_used_s=st.floats(0, 100),
    pins=st.integers(0, 1),
)


@st.composite
def nodes(draw: st.DrawFn) -> list[Holding]:
    """What up to four namespaces hold."""
    found = []
    for namespace in ("a", "b", "c", "d")[: draw(st.integers(0, 4))]:
        own = tuple(replace(each, namespace=namespace) for each in draw(st.lists(items, max_size=5)))
        found.append(holding(namespace, *own, more_bytes=draw(sizes), promised_bytes=draw(sizes)))
    return found


@given(node=nodes(), requested_bytes=st.integers(0, 120), free_bytes=st.integers(0, 300))
def test_whatever_is_there_a_grant_keeps_every_promise(
    node: list[Holding], requested_bytes: int, free_bytes: int
) -> None:
    plan = evictions_for("a", requested_bytes, node, LIMITS, free_bytes)
    if isinstance(plan, Refusal):
        return
    gone_bytes = sum(each.size_bytes for each in plan)
    assert shortage_bytes(requested_bytes, node, LIMITS, free_bytes) <= gone_bytes
    assert not [each for each in plan if each.pins]
    for other in node:
        lost_bytes = sum(each.size_bytes for each in plan if each.namespace == other.namespace)
        if other.namespace != "a" and lost_bytes:
            assert other.used_bytes - lost_bytes >= LIMITS.guaranteed_bytes


@given(node=nodes(), requested_bytes=st.integers(0, 90), free_bytes=st.integers(0, 300))
def test_whatever_is_there_others_lose_only_once_nothing_of_ones_own_is_left(
    node: list[Holding], requested_bytes: int, free_bytes: int
) -> None:
    plan = evictions_for("a", requested_bytes, node, LIMITS, free_bytes)
    if isinstance(plan, Refusal) or all(each.namespace == "a" for each in plan):
        return
    own = [each for each in node if each.namespace == "a"]
    unused = [each for one in own for each in one.items if not each.pins and each.size_bytes]
    assert sum(each.namespace == "a" for each in plan) == len(unused)


@pytest.mark.parametrize(
    ("text", "whole_bytes", "expected_bytes"),
    [
        ("1024", 0, 1024),
        ("100Gi", 0, 100 << 30),
        ("1.5G", 0, 1_500_000_000),
        ("80%", 1000, 800),
        ("1e9", 0, 10**9),
        ("0.1%", 1000, 1),
        ("0", 5, 0),
    ],
)
def test_sizes_are_bytes_quantities_or_shares(text: str, whole_bytes: int, expected_bytes: int) -> None:
    assert SizeOrShare.parse(text).of(whole_bytes) == expected_bytes


@pytest.mark.parametrize("text", ["", "-1", "100 GB", "101%", "1e99", "Gi", "0x10", "9" * 30])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is"):
        SizeOrShare.parse(text)


@pytest.mark.parametrize(("size_bytes", "words"), [(0, "0 B"), (1536, "1.5 KiB"), (14495514624, "13.5 GiB")])
def test_sizes_read_well(size_bytes: int, words: str) -> None:
    assert readable(size_bytes) == words
