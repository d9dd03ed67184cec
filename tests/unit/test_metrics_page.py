"""A page comes from a tenant's pod: whatever it holds, reading it ends soon, and gives samples or says why not."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from modelyard.integrations.engines import vllm
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.metrics_page import PAGE_LIMIT_BYTES, SAMPLES_LIMIT, MetricsPage, page_label
from tests.support.metrics_of_engines import parsed
from tests.support.recordings import RECORDINGS

NAMES = ("a", "a_total", "b:c")
PAGE = MetricsPage(NAMES)
PAGES = sorted((RECORDINGS / "vllm" / "fixtures").glob("*.prom")) + sorted((RECORDINGS / "triton").glob("*/*.prom"))

label_values = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12)
labels = st.dictionaries(st.sampled_from(["le", "model", "x_le", "engine"]), label_values, max_size=3)
samples = st.tuples(st.sampled_from([*NAMES, "other", "a_", "aa"]), labels, st.floats(allow_nan=False))
fragments = st.sampled_from(
    [
        b"\n",
        b"vllm:num_requests_waiting",
        b"vllm:time_to_first_token_seconds_bucket",
        b"vllm:time_to_first_token_seconds_count",
        b"vllm:time_to_first_token_seconds_sum",
        b"vllm:cache_config_info",
        b'{le="0.5"}',
        b'{block_size="16",num_gpu_blocks="x"}',
        b"{",
        b"}",
        b'"',
        b"\\",
        b" ",
        b"1",
        b"NaN",
        b"-1",
        b"1e400",
        b"\xff\x00",
    ]
)


def line(name: str, labels: dict[str, str], value: float) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", r"\\").replace('"', r"\"")

    listed = ",".join(f'{label}="{escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{listed}}} {value!r}" if listed else f"{name} {value!r}"


@given(st.lists(samples))
def test_what_a_page_holds_is_what_is_read(written: list[tuple[str, dict[str, str], float]]) -> None:
    page = "# HELP a 1\n" + "".join(f"{line(*sample)}\n" for sample in written)
    found = PAGE.samples(page.encode())
    for name in NAMES:
        expected = [(labels, value) for of, labels, value in written if of == name]
        assert [value for _, value in found.get(name, [])] == [value for _, value in expected]
        for (text, _), (wanted, _) in zip(found.get(name, []), expected, strict=True):
            if not any("\\" in value or '"' in value for value in wanted.values()):
                assert {label: page_label(text, label) for label in wanted} == wanted
            assert page_label(text, "absent") is None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_prometheus_own_parser_reads_the_same(path: Path) -> None:
    """Except for the suffix that it adds to the names of Triton's counters."""
    text = path.read_text()
    expected: dict[str, list[float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            added = family.type == "counter" and f"\n{sample.name}" not in text
            expected.setdefault(sample.name.removesuffix("_total") if added else sample.name, []).append(sample.value)
    found = MetricsPage(expected).samples(text.encode())
    assert {name: sorted(value for _, value in several) for name, several in found.items()} == {
        name: sorted(values) for name, values in expected.items()
    }


@given(st.lists(fragments, max_size=60).map(b"".join) | st.binary(max_size=300))
def test_any_bytes_give_a_sample_or_a_reason(page: bytes) -> None:
    found = parsed(vllm.METRICS, page)
    if isinstance(found, EngineSample):
        numbers = [found.waiting, found.kv_capacity_tokens, found.first_tokens_total]
        assert all(number is None or 0 <= number < math.inf for number in numbers)
        assert found.waiting is not None or "vllm:num_requests_waiting" in found.missing["waiting"]
    else:
        assert found.cause.startswith("the page ")


@pytest.mark.parametrize(
    "page",
    [
        b"vllm:num_requests_waiting{" + b"} " * (PAGE_LIMIT_BYTES // 2),
        b"vllm:num_requests_waiting{}" + b" " * PAGE_LIMIT_BYTES,
        b"vllm:num_requests_waiting " + b"9" * PAGE_LIMIT_BYTES,
        b'vllm:cache_config_info{x="' + b"\\" * PAGE_LIMIT_BYTES,
        b'vllm:cache_config_info{x="' + b"\\" * (PAGE_LIMIT_BYTES - 50) + b'"} 1',
        b"vllm:cache_config_info{" + b',block_size="' * (PAGE_LIMIT_BYTES // 13) + b"} 1",
        b"\n" * PAGE_LIMIT_BYTES,
        b"\nvllm:" * (PAGE_LIMIT_BYTES // 6),
    ],
    ids=["braces", "blanks", "digits", "backslashes", "escapes", "labels", "lines", "prefixes"],
)
def test_no_page_keeps_the_operator_busy(page: bytes) -> None:
    """A reader that takes time in proportion to the square of a page's length would not come to an end here."""
    assert isinstance(parsed(vllm.METRICS, page), Unknown)


def test_a_page_of_nothing_but_samples_is_refused() -> None:
    found = parsed(vllm.METRICS, b"vllm:num_requests_waiting 1\n" * (SAMPLES_LIMIT + 1))
    assert isinstance(found, Unknown)
    assert "more than" in found.cause


def test_a_bucket_without_a_bound_makes_the_histogram_unknown() -> None:
    name = "vllm:time_to_first_token_seconds"
    page = f"{name}_bucket{{}} 1\n{name}_count 1\n{name}_sum 1\n".encode()
    found = parsed(vllm.METRICS, page)
    assert isinstance(found, EngineSample)
    assert found.time_to_first_token_s is None
    assert f"a bucket of {name}_bucket without a bound" in found.missing["time_to_first_token_s"]


def test_bounds_that_only_one_engine_has_are_left_out() -> None:
    name = "vllm:time_to_first_token_seconds"
    lines = [
        *(f'{name}_bucket{{engine="0",le="{bound}"}} {count}' for bound, count in (("0.5", 1), ("1", 2), ("+Inf", 4))),
        *(f'{name}_bucket{{engine="1",le="{bound}"}} {count}' for bound, count in (("1.0", 3), ("+Inf", 3))),
        *(f'{name}_{suffix}{{engine="{engine}"}} 3' for suffix in ("count", "sum") for engine in (0, 1)),
    ]
    found = parsed(vllm.METRICS, "\n".join(lines).encode())
    assert isinstance(found, EngineSample)
    assert found.time_to_first_token_s is not None
    assert found.time_to_first_token_s.buckets == {1.0: 5, math.inf: 7}
