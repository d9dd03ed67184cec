"""The engines' metrics from a Prometheus: those of the pods that run, no older than two scrapes, and never a guess."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.api.settings import Prometheus
from modelyard.integrations.engines import triton, vllm
from modelyard.integrations.engines.metrics import EngineMetrics
from modelyard.integrations.signals import prometheus as queries
from modelyard.integrations.signals import prometheus_metrics
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_pod import EnginePod
from modelyard.integrations.signals.pod_http import PodClient
from modelyard.integrations.signals.prometheus_metrics import PrometheusMetrics
from tests.support.certificates import make_certificates
from tests.support.engine_server import serving
from tests.support.ports import free_port
from tests.support.prometheus_server import PrometheusServer, prometheus
from tests.support.recordings import triton_recording, vllm_recording

NOW_S = 1_800_000_000.0
LOADED = vllm_recording("fixtures/vllm-0.32.0-load-4-running-46-waiting-kv35.prom").read_bytes()
PENDING = triton_recording("fixtures/triton-2.51.0-load-26-pending.prom").read_bytes()
BUSY, IDLE = b"vllm:num_requests_waiting 9\n", b"vllm:num_requests_waiting 0\n"


def pod(name: str, metrics: EngineMetrics = vllm.METRICS, namespace: str = "team", ip: str = "127.0.0.1") -> EnginePod:
    return EnginePod(namespace, name, f"uid-of-{namespace}-{name}", ip, metrics)


@asynccontextmanager
async def reading(server: PrometheusServer | str, **settings: object) -> AsyncIterator[PrometheusMetrics]:
    """The signals, with a clock that follows the server's."""
    url = server if isinstance(server, str) else server.url
    client = PodClient()
    signals = PrometheusMetrics(
        Prometheus.model_validate({"url": url, "scrape_interval_s": 30} | settings),
        client,
        now_s=lambda: NOW_S if isinstance(server, str) else server.now_s,
    )
    yield signals
    await signals.close()
    await client.close()


async def one(signals: PrometheusMetrics, of: EnginePod) -> EngineSample | Unknown:
    return (await signals.read([of]))[of.uid]


async def cause(signals: PrometheusMetrics, of: EnginePod) -> str:
    found = await one(signals, of)
    assert isinstance(found, Unknown), found
    return found.cause


async def test_all_pods_are_read_with_one_query() -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(LOADED, NOW_S - 7, namespace="team", pod="chat-1", job="engines", instance="10.0.0.1:8000")
        server.scrape(PENDING, NOW_S - 3, namespace="other", pod="images-1", job="engines", instance="10.0.0.2:8002")
        chat, images = pod("chat-1"), pod("images-1", triton.METRICS, "other", ip="0.0.0.0")
        found = await signals.read([chat, images])
        assert len(server.queries) == 1
    first, second = found[chat.uid], found[images.uid]
    assert isinstance(first, EngineSample)
    assert isinstance(second, EngineSample)
    assert (first.time_s, first.waiting, first.running, first.first_tokens_total) == (NOW_S - 7, 46, 4, 4)
    assert first.kv_capacity_tokens == 24 * 128
    assert (second.time_s, second.finished_total) == (NOW_S - 3, 1)


async def test_buckets_are_not_read_and_not_missing_either() -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(LOADED, NOW_S, namespace="team", pod="chat-1")
        found = await one(signals, pod("chat-1"))
        assert "_bucket" not in server.queries[0]
    assert isinstance(found, EngineSample)
    assert found.missing == {}


async def test_pods_that_are_gone_and_namesakes_in_other_namespaces_count_nowhere() -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(BUSY, NOW_S - 5, namespace="team", pod="gone")
        server.scrape(BUSY, NOW_S - 5, namespace="other", pod="chat-1")
        server.scrape(BUSY, NOW_S - 5, job="no pod at all")
        found = await signals.read([pod("chat-1")])
    assert list(found) == [pod("chat-1").uid]
    assert isinstance(found[pod("chat-1").uid], Unknown)


async def test_a_pod_that_is_not_scraped_is_unknown() -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        assert await cause(signals, pod("chat-1")) == (
            f"Prometheus at {server.url}, for pod team/chat-1, has no sample of the last 60 s. "
            "Have it scrape port 8000 of the pod."
        )


async def test_a_renamed_metric_is_named_with_its_pod() -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(b"vllm:num_requests_running 1\n", NOW_S, namespace="team", pod="chat-1")
        found = await one(signals, pod("chat-1"))
    assert isinstance(found, EngineSample)
    assert found.missing["waiting"] == (
        f"Prometheus at {server.url}, for pod team/chat-1, has no metric vllm:num_requests_waiting"
    )


@pytest.mark.parametrize(("age_s", "known"), [(59, True), (61, False)])
async def test_a_sample_counts_for_two_scrape_intervals(*, age_s: float, known: bool) -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(BUSY, NOW_S - age_s, namespace="team", pod="chat-1")
        assert isinstance(await one(signals, pod("chat-1")), EngineSample if known else Unknown)


async def test_the_latest_of_several_samples_counts_and_a_series_that_ended_does_not() -> None:
    before = b'vllm:num_requests_waiting{engine="0"} 9\nvllm:num_requests_waiting{engine="1"} 9\n'
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(before, NOW_S - 40, namespace="team", pod="chat-1", job="a")
        server.scrape(b'vllm:num_requests_waiting{engine="0"} 2\n', NOW_S - 10, namespace="team", pod="chat-1", job="a")
        found = await one(signals, pod("chat-1"))
    assert isinstance(found, EngineSample)
    assert (found.waiting, found.time_s) == (2, NOW_S - 10)


async def test_a_pod_that_two_jobs_scrape_is_not_counted_twice() -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(b"vllm:num_requests_waiting 3\n", NOW_S - 20, namespace="team", pod="chat-1", job="a")
        server.scrape(b"vllm:num_requests_waiting 4\n", NOW_S - 10, namespace="team", pod="chat-1", job="b")
        found = await one(signals, pod("chat-1"))
    assert isinstance(found, EngineSample)
    assert found.waiting == 4


@pytest.mark.parametrize(("limit", "value"), [("NAMESPACES_LIMIT", 14), ("PODS_OF_A_QUERY", 3)])
async def test_the_query_is_divided_by_namespaces(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(prometheus_metrics, limit, value)
    pods = [pod(name, namespace=f"team-{number}") for number in (1, 2, 3, 4) for name in ("chat-1", "chat-2")]
    async with prometheus(NOW_S) as server, reading(server) as signals:
        for number, each in enumerate(pods):
            page = b"vllm:num_requests_waiting %d\n" % number
            server.scrape(page, NOW_S, namespace=each.namespace, pod=each.name)
        found = await signals.read(pods)
        queried = [re.findall(r"team-\d", query) for query in server.queries]
    assert [sample.waiting for sample in found.values() if isinstance(sample, EngineSample)] == list(range(8))
    assert queried == (
        [["team-1", "team-2"], ["team-3", "team-4"]] if value == 14 else [[f"team-{n}"] for n in (1, 2, 3, 4)]
    )


async def test_the_first_query_that_fails_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_metrics, "PODS_OF_A_QUERY", 1)
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.status, server.text = 500, "no"
        await signals.read([pod("chat", namespace=f"team-{number}") for number in range(5)])
        assert len(server.headers) == 1


async def test_the_models_of_a_triton_are_looked_up_in_its_pod() -> None:
    pages = {f"/v2/models/{name}/config": b'{"name": "%s"}' % name.encode() for name in ("slow", "identity")}
    async with serving(pages) as engine, prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(PENDING, NOW_S, namespace="team", pod="chat-uid-1")
        known, silent = engine.pod(triton.METRICS), pod("chat-uid-1", triton.METRICS, ip="0.0.0.0")
        found = await signals.read([known, silent])
    samples = [found[known.uid], found[silent.uid]]
    assert [sample.waiting for sample in samples if isinstance(sample, EngineSample)] == [26, None]


async def test_a_failed_query_keeps_the_sample_until_it_is_two_scrapes_old() -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(BUSY, NOW_S - 10, namespace="team", pod="chat-1")
        await one(signals, pod("chat-1"))
        server.status, server.text = 503, "busy"
        server.now_s += 50
        kept = await one(signals, pod("chat-1"))
        assert isinstance(kept, EngineSample)
        assert (kept.waiting, kept.time_s) == (9, NOW_S - 10)
        server.now_s += 1
        assert "refuses the query: HTTP Status Code 503" in await cause(signals, pod("chat-1"))


async def test_a_failed_query_does_not_bring_back_what_a_newer_scrape_replaced() -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.scrape(BUSY, NOW_S - 10, namespace="team", pod="chat-1")
        await one(signals, pod("chat-1"))
        server.scrape(b"vllm:num_requests_waiting NaN\n", NOW_S - 1, namespace="team", pod="chat-1")
        assert isinstance(await one(signals, pod("chat-1")), Unknown)
        server.status, server.text = 503, "busy"
        assert isinstance(await one(signals, pod("chat-1")), Unknown)


@pytest.mark.parametrize("interval_s", [30, 180])
async def test_a_sample_says_when_the_next_is_due_and_where_it_was_read(interval_s: int) -> None:
    async with prometheus(NOW_S) as server, reading(server, scrape_interval_s=interval_s) as signals:
        server.scrape(BUSY, NOW_S - 5, namespace="team", pod="chat-1")
        found = await one(signals, pod("chat-1"))
    assert isinstance(found, EngineSample)
    assert found.interval_s == interval_s
    assert found.place == f"Prometheus at {server.url}, for pod team/chat-1,"


async def test_without_pods_nothing_is_asked() -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        assert await signals.read([]) == {}
        assert server.queries == []


async def test_the_token_is_read_from_its_file_for_each_query(tmp_path: Path) -> None:
    file = tmp_path / "token"
    async with prometheus(NOW_S) as server, reading(server, bearer_token_file=file) as signals:
        server.scrape(BUSY, NOW_S, namespace="team", pod="chat-1")
        for server.token in ("first", "second"):
            file.write_text(f"{server.token}\n")
            assert isinstance(await one(signals, pod("chat-1")), EngineSample)


async def test_a_wrong_token_is_an_error_that_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong")
    async with prometheus(NOW_S) as server, reading(server, bearer_token_file=tmp_path / "token") as signals:
        server.token = "right"
        assert "Check prometheus.bearer_token_file" in await cause(signals, pod("chat-1"))


async def test_a_missing_token_file_is_an_error_that_names_its_setting(tmp_path: Path) -> None:
    async with prometheus(NOW_S) as server, reading(server, bearer_token_file=tmp_path / "none") as signals:
        assert "prometheus.bearer_token_file in the settings cannot be read" in await cause(signals, pod("chat-1"))
        assert server.headers == [], "nothing is sent without the token"


@pytest.mark.parametrize("token", ["", "two words", "two\nlines", "tok\u20acn"])
async def test_a_file_without_a_token_is_an_error_that_does_not_have_it(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token)
    async with prometheus(NOW_S) as server, reading(server, bearer_token_file=tmp_path / "token") as signals:
        found = await cause(signals, pod("chat-1"))
        assert "prometheus.bearer_token_file in the settings has no token" in found
        assert not token or token not in found
        assert server.headers == []


@pytest.mark.parametrize("url", ["http://[prom:9090", f"http://{'a' * 64}.example:9090"])
async def test_a_url_that_is_none_is_an_error_that_names_its_setting(url: str) -> None:
    async with reading(url) as signals:
        assert "Check prometheus.url" in await cause(signals, pod("chat-1"))


async def test_a_private_ca_is_trusted_once_its_file_is_named(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.certificate, made.key)
    async with prometheus(NOW_S, tls) as server:
        server.scrape(BUSY, NOW_S, namespace="team", pod="chat-1")
        async with reading(server, ca_file=made.ca) as signals:
            assert isinstance(await one(signals, pod("chat-1")), EngineSample)
        async with reading(server) as signals:
            assert "Set prometheus.ca_file" in await cause(signals, pod("chat-1"))
        async with reading(server, ca_file=tmp_path / "none") as signals:
            assert "prometheus.ca_file in the settings cannot be read" in await cause(signals, pod("chat-1"))


async def test_a_prometheus_that_is_not_there_is_an_error() -> None:
    async with reading(f"http://127.0.0.1:{free_port()}") as signals:
        found = await cause(signals, pod("chat-1"))
    assert "cannot be reached: " in found
    assert "Check prometheus.url" in found


@pytest.mark.parametrize(
    "text",
    [
        "<html>Grafana</html>",
        "[" * 200_000,
        '{"data": {"result": ' + "1" * 5000 + "}}",
        "[]",
        "{}",
        '{"data": null}',
        '{"data": {"result": 1}}',
        '{"data": {"result": [1]}}',
        '{"data": {"result": [{"metric": {}, "value": [1, "1"]}]}}',
        '{"data": {"result": [{"metric": [], "values": []}]}}',
        '{"data": {"result": [{"metric": {"__name__": "a"}, "values": [[1, "many"]]}]}}',
    ],
)
async def test_what_is_no_prometheus_is_an_error(text: str) -> None:
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.text = text
        assert "not as Prometheus does" in await cause(signals, pod("chat-1"))


scalars: st.SearchStrategy[object] = st.sampled_from(
    [None, True, 0, -1.5, float("nan"), float("inf"), 10**400, "", "1", "NaN", "many", (), {}]
)
labels = st.dictionaries(st.sampled_from(["__name__", "namespace", "pod", "job", "model"]), scalars) | scalars
values = st.lists(st.tuples(scalars, scalars), min_size=1, max_size=2) | st.lists(scalars, max_size=2) | scalars
series = st.fixed_dictionaries({"metric": labels, "values": values}) | scalars


@settings(max_examples=500)
@given(st.lists(series, min_size=1, max_size=2))
def test_any_result_is_of_scrapes_or_an_error(result: list[queries.Series]) -> None:
    with contextlib.suppress(queries.QueryError):
        for scrape in prometheus_metrics._scrapes_by_pod(result).values():
            assert isinstance(scrape.time_s, float)
            assert all(isinstance(value, float) for samples in scrape.samples.values() for _, value in samples)


@pytest.mark.parametrize("status", [302, 404, 405])
async def test_a_wrong_path_is_an_error_and_no_redirect_takes_the_token_along(tmp_path: Path, status: int) -> None:
    (tmp_path / "token").write_text("secret")
    async with prometheus(NOW_S) as elsewhere, prometheus(NOW_S) as server:
        server.status, server.text, server.location = status, "", elsewhere.url
        async with reading(server, bearer_token_file=tmp_path / "token") as signals:
            assert f"has no query API there (status {status})" in await cause(signals, pod("chat-1"))
        assert elsewhere.headers == []


async def test_a_prometheus_that_does_not_answer_is_an_error_in_time() -> None:
    async with prometheus(NOW_S) as server, reading(server, timeout_s=0.2) as signals:
        server.delay = asyncio.Event()
        assert "gave no answer in 0.2 s" in await cause(signals, pod("chat-1"))
        server.delay.set()


async def test_an_answer_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "ANSWER_LIMIT_BYTES", 100_000)
    async with prometheus(NOW_S) as server, reading(server) as signals:
        server.text = " " * 300_000
        assert "gave no usable answer: it is longer than 100000 bytes" in await cause(signals, pod("chat-1"))


async def test_a_query_that_hangs_is_not_joined_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hangs(*_: object) -> list[queries.Series]:
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        return []

    monkeypatch.setattr(prometheus_metrics, "query", hangs)
    async with reading("http://127.0.0.1:1", timeout_s=5) as signals:
        first = asyncio.create_task(one(signals, pod("chat-1")))
        await started.wait()
        assert "has not answered the last query yet" in await cause(signals, pod("chat-1"))
        go_on.set()
        assert isinstance(await first, Unknown)
