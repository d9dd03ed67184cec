"""The engines' metrics are read from all pods side by side, and no pod holds up another or the round."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace

import pytest

from modelyard.integrations.engines import triton, vllm
from modelyard.integrations.signals import pod_metrics
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_pod import EnginePod
from modelyard.integrations.signals.pod_http import PodClient, PodError
from modelyard.integrations.signals.pod_metrics import PodMetrics
from tests.support.clock import JumpingLoop
from tests.support.engine_server import engine_pod, serving
from tests.support.pod_port import answering
from tests.support.ports import free_port
from tests.support.recordings import triton_recording, vllm_recording

LOADED = vllm_recording("fixtures/vllm-0.32.0-load-4-running-46-waiting-kv35.prom").read_bytes()
DECOUPLED = triton_recording("fixtures/triton-2.51.0-decoupled-6-streams-in-flight-pending0.prom").read_bytes()
PENDING = triton_recording("fixtures/triton-2.51.0-load-26-pending.prom").read_bytes()
OK = b"HTTP/1.1 200 OK\r\n"


class Clock:
    """Seconds since the epoch, as a test sets them."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def signals(clock: Clock) -> AsyncIterator[PodMetrics]:
    client = PodClient()
    signals = PodMetrics(client, interval_s=15, now_s=clock)
    yield signals
    await signals.close()
    await client.close()


async def one(signals: PodMetrics, pod: EnginePod) -> EngineSample | Unknown:
    return (await signals.read([pod]))[pod.uid]


async def sample(signals: PodMetrics, pod: EnginePod) -> EngineSample:
    found = await one(signals, pod)
    assert isinstance(found, EngineSample), found
    return found


async def cause(signals: PodMetrics, pod: EnginePod) -> str:
    found = await one(signals, pod)
    assert isinstance(found, Unknown), found
    return found.cause


async def test_each_pod_is_read(signals: PodMetrics, clock: Clock) -> None:
    async with (
        serving({"/metrics": LOADED}) as loaded,
        serving({"/metrics": b"vllm:num_requests_running 1\n"}) as other,
    ):
        pods = [loaded.pod(vllm.METRICS, "uid-1"), other.pod(vllm.METRICS, "uid-2")]
        found = await signals.read(pods)
    first, second = found["uid-1"], found["uid-2"]
    assert isinstance(first, EngineSample)
    assert isinstance(second, EngineSample)
    assert (first.time_s, first.waiting, second.running, second.waiting) == (clock.now_s, 46, 1, None)
    assert second.missing["waiting"] == (
        f"http://127.0.0.1:{other.port}/metrics of pod team/chat-uid-2 has no metric vllm:num_requests_waiting"
    )


async def test_no_pods_are_no_work(signals: PodMetrics) -> None:
    assert await signals.read([]) == {}


async def test_a_pod_that_has_another_address_is_read_there(signals: PodMetrics) -> None:
    """The address before may be that of another pod by now."""
    async with serving({"/metrics": LOADED}) as server:
        pod = server.pod(vllm.METRICS)
        await sample(signals, pod)
        elsewhere = replace(pod, ip="127.0.0.2")
        assert "127.0.0.2" in await cause(signals, elsewhere)


async def test_a_page_of_something_else_is_unknown(signals: PodMetrics) -> None:
    async with serving({"/metrics": b"# TYPE up gauge\nup 1\n"}) as server:
        assert "has none of the engine's metrics" in await cause(signals, server.pod(vllm.METRICS))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "answered with status 503"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (b"", "broke off"),
        (OK + b"Content-Length: 10\r\n\r\nshort", "broke off"),
        (OK + b"Content-Length: 3600000\r\n\r\n" + b"vllm:x 1\n" * 400_000, "too much"),
        (b"\x00\xff" * 5000, "no HTTP"),
    ],
    ids=["error", "redirect", "nothing", "short", "endless", "no HTTP"],
)
async def test_an_answer_that_is_no_page_is_unknown(signals: PodMetrics, answer: bytes, why: str) -> None:
    async with answering(answer) as pod:
        found = await cause(signals, engine_pod(vllm.METRICS, pod.port))
    assert f"http://127.0.0.1:{pod.port}/metrics of pod team/chat-uid-1" in found
    assert why in found


async def test_a_pod_that_refuses_is_unknown(signals: PodMetrics) -> None:
    assert "cannot be reached" in await cause(signals, engine_pod(vllm.METRICS, free_port()))


async def test_an_address_that_is_none_is_unknown(signals: PodMetrics) -> None:
    assert "of pod team/chat-uid-1" in await cause(signals, engine_pod(vllm.METRICS, 1, ip="localhost"))


async def test_one_failure_keeps_the_sample_until_it_is_two_intervals_old(signals: PodMetrics, clock: Clock) -> None:
    async with serving({"/metrics": LOADED}) as server:
        pod = server.pod(vllm.METRICS)
        measured_s = (await sample(signals, pod)).time_s
        server.pages.clear()
        clock.now_s += 30
        kept = await sample(signals, pod)
        assert (kept.time_s, kept.waiting) == (measured_s, 46)
        clock.now_s += 1
        found = await cause(signals, pod)
    assert "answered with status 404; it last did 31 s ago" in found


async def test_a_page_without_metrics_is_news_that_replaces_a_sample(signals: PodMetrics) -> None:
    async with serving({"/metrics": LOADED}) as server:
        pod = server.pod(vllm.METRICS)
        await sample(signals, pod)
        server.pages["/metrics"] = b"\n"
        assert "has none of the engine's metrics" in await cause(signals, pod)


async def test_connections_are_kept_as_long_as_they_are_few(
    signals: PodMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving({"/metrics": LOADED}) as server:
        pod = server.pod(vllm.METRICS)
        for _ in range(3):
            await sample(signals, pod)
        assert len(server.connections) == 1
        monkeypatch.setattr(pod_metrics, "KEPT_LIMIT", 0)
        for _ in range(3):
            await sample(signals, pod)
        assert len(server.connections) == 4


async def test_the_queue_of_a_decoupled_model_is_unknown(signals: PodMetrics) -> None:
    configuration = b'{"name": "stream", "model_transaction_policy": {"decoupled": true}}'
    async with serving({"/metrics": DECOUPLED, "/v2/models/stream/config": configuration}) as server:
        found = await sample(signals, server.pod(triton.METRICS))
    assert (found.waiting, found.finished_total) == (None, 6)
    assert "is wrong for decoupled models" in found.missing["waiting"]


async def test_the_configuration_of_each_model_is_read_once(signals: PodMetrics) -> None:
    pages = {f"/v2/models/{name}/config": b'{"name": "%s"}' % name.encode() for name in ("slow", "identity")}
    async with serving({"/metrics": PENDING, **pages}) as server:
        pod = server.pod(triton.METRICS)
        for _ in range(3):
            assert (await sample(signals, pod)).waiting == 26
    assert sorted(path for path in server.paths if path != "/metrics") == sorted(pages)


@pytest.mark.parametrize("answer", [None, b"", b"[]", b'{"error": "no"}', b"[" * 100_000, b'{"name": 1}'])
async def test_without_a_configuration_the_queue_is_unknown(signals: PodMetrics, answer: bytes | None) -> None:
    pages = {"/v2/models/slow/config": b'{"name": "slow"}'}
    if answer is not None:
        pages["/v2/models/identity/config"] = answer
    async with serving({"/metrics": PENDING, **pages}) as server:
        found = await sample(signals, server.pod(triton.METRICS))
    assert (found.waiting, found.finished_total) == (None, 1)
    assert "configuration is unknown" in found.missing["waiting"]


Fetch = Callable[[str], Awaitable[bytes]]


class Pods(PodClient):
    """Pods without a network: ``answer`` is what one does, by its address."""

    def __init__(self, answer: Fetch) -> None:
        super().__init__()
        self.answer = answer
        self.in_flight = self.most_in_flight = 0
        self.cancelled: list[str] = []

    async def fetch(self, pod_ip: str, *_: object, time_limit_s: float | None = None, **__: object) -> bytes:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            async with asyncio.timeout(time_limit_s):
                return await self.answer(pod_ip)
        except TimeoutError as error:
            raise PodError("is silent") from error
        except asyncio.CancelledError:
            self.cancelled.append(pod_ip)
            raise
        finally:
            self.in_flight -= 1


def in_jumping_time(test: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(test)


def pods_at(*addresses: str) -> list[EnginePod]:
    return [engine_pod(vllm.METRICS, 8000, uid=address, ip=address) for address in addresses]


def in_loop_time(client: PodClient) -> PodMetrics:
    return PodMetrics(client, interval_s=15, now_s=asyncio.get_running_loop().time)


async def _answer_after_three_seconds(address: str) -> bytes:
    await asyncio.sleep(3.0 if address.endswith("slow") else 0.01)
    return LOADED


def test_a_slow_engine_is_read_all_the_same_and_stalls_no_other() -> None:
    async def test() -> None:
        signals, time = in_loop_time(Pods(_answer_after_three_seconds)), asyncio.get_running_loop().time
        pods = pods_at("quick", "slow")
        before_s = time()
        found = await signals.read(pods)
        assert time() - before_s == pytest.approx(pod_metrics.ROUND_S + 2 * pod_metrics.POD_S)
        assert isinstance(found["quick"], EngineSample)
        assert found["slow"] == Unknown("http://slow:8000/metrics of pod team/chat-slow has not answered yet")
        await asyncio.sleep(15 - (time() - before_s))
        slow = (await signals.read(pods))["slow"]
        assert isinstance(slow, EngineSample)
        assert slow.time_s - before_s == pytest.approx(3)
        await signals.close()

    in_jumping_time(test())


async def _answer_unless_silent(address: str) -> bytes:
    if address.startswith("silent"):
        await asyncio.Event().wait()
    await asyncio.sleep(0.005)
    return LOADED


def test_a_thousand_silent_pods_hold_up_none_that_answer() -> None:
    async def test() -> None:
        client = Pods(_answer_unless_silent)
        signals = in_loop_time(client)
        quick = pods_at(*(f"quick-{number}" for number in range(1000)))
        await signals.read(quick)
        await signals.read(quick)
        everyone = quick + pods_at(*(f"silent-{number}" for number in range(1000)))
        for _ in range(5):
            asked_s = asyncio.get_running_loop().time()
            found = await signals.read(everyone)
            for pod in quick:
                sample = found[pod.uid]
                assert isinstance(sample, EngineSample)
                assert sample.time_s >= asked_s
            await asyncio.sleep(10)
        assert client.most_in_flight <= pod_metrics.ANSWERING_LIMIT + pod_metrics.DOUBTFUL_LIMIT
        await signals.close()

    in_jumping_time(test())


async def _answer_after_two_seconds_and_a_half(address: str) -> bytes:
    await asyncio.sleep(3600 if address.startswith("silent") else 2.5)
    return LOADED


def test_a_round_over_many_pods_lasts_longer_for_those_that_answer_and_for_no_others() -> None:
    async def test() -> None:
        client, time = Pods(_answer_unless_silent), asyncio.get_running_loop().time
        signals = in_loop_time(client)
        pods = pods_at(*(f"quick-{number}" for number in range(200)))
        slow = pods + pods_at(*(f"silent-{number}" for number in range(800)))
        await signals.read(slow)
        await asyncio.sleep(60)
        await signals.read(slow)
        await asyncio.sleep(60)
        client.answer = _answer_after_two_seconds_and_a_half
        before_s = time()
        found = await signals.read(slow)
        assert time() - before_s == pytest.approx(2.5)
        assert sum(isinstance(found[pod.uid], EngineSample) for pod in pods) == 200
        await signals.close()

    in_jumping_time(test())


def test_the_request_to_a_pod_that_is_gone_is_ended() -> None:
    async def test() -> None:
        client = Pods(_answer_unless_silent)
        signals = in_loop_time(client)
        await signals.read(pods_at("silent", "quick"))
        assert await signals.read([]) == {}
        await asyncio.sleep(0)
        assert client.cancelled == ["silent"]
        assert isinstance((await signals.read(pods_at("quick")))["quick"], EngineSample)
        await signals.close()

    in_jumping_time(test())


def test_a_silent_pod_is_asked_again_once_its_request_has_ended() -> None:
    async def test() -> None:
        client = Pods(_answer_unless_silent)
        signals = in_loop_time(client)
        pods = pods_at("silent")
        await signals.read(pods)
        await asyncio.sleep(pod_metrics.REQUEST_S)
        client.answer = _answer_after_three_seconds
        assert isinstance((await signals.read(pods))["silent"], EngineSample)
        with contextlib.suppress(asyncio.CancelledError):
            await signals.close()

    in_jumping_time(test())
