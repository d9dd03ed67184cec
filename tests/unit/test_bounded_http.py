"""A pod that is slow or silent takes no worker's time, and what it says late is not lost."""

import asyncio
import time

import pytest

from modelyard.integrations.signals import pod_http
from modelyard.integrations.signals.pod_http import Reader, ask


class Pods:
    """Pods that answer when they are told to."""

    def __init__(self) -> None:
        self.answers: dict[str, asyncio.Future[str | None]] = {}
        self.asked: list[str] = []

    async def question(self, address: str) -> str | None:
        self.asked.append(address)
        return await self.answers.setdefault(address, asyncio.get_running_loop().create_future())

    def say(self, address: str, text: str | None) -> None:
        self.answers.pop(address).set_result(text)


async def test_a_pod_that_answers_is_heard_at_once() -> None:
    async def question(address: str) -> str | None:
        return f"here is {address}"

    reader = Reader(question)
    assert [await reader.read("10.0.0.1"), await reader.read("10.0.0.1")] == ["here is 10.0.0.1"] * 2


async def test_a_late_answer_is_that_of_the_next_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_http, "WAIT_S", 0.01)
    pods = Pods()
    reader = Reader(pods.question)
    assert await reader.read("10.0.0.1") is None
    assert await reader.read("10.0.0.1") is None
    assert pods.asked == ["10.0.0.1"], "it is not asked twice at once"
    pods.say("10.0.0.1", "late")
    await asyncio.sleep(0)
    assert await reader.read("10.0.0.1") == "late"


async def test_five_hundred_silent_pods_hold_up_sixteen_workers_once_and_then_hardly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pods are asked one after the other by 16 workers, as their services' reconciles would."""
    monkeypatch.setattr(pod_http, "WAIT_S", pod_http.WAIT_S / 5)
    monkeypatch.setattr(pod_http, "SHORT_WAIT_S", pod_http.SHORT_WAIT_S / 5)
    pods = Pods()
    reader = Reader(pods.question)
    addresses = [f"10.0.{number // 250}.{number % 250}" for number in range(500)]

    async def worker(number: int) -> None:
        for address in addresses[number::16]:
            assert await reader.read(address) is None

    async def round_s() -> float:
        started = time.monotonic()
        await asyncio.gather(*map(worker, range(16)))
        return time.monotonic() - started

    first_s = await round_s()
    for address in list(pods.answers):
        pods.say(address, None)
    await asyncio.sleep(0)
    assert await round_s() < first_s / 2
    assert len(pods.asked) == 1000


async def test_so_many_questions_are_on_their_way_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_http, "CONNECTIONS_LIMIT", 3)
    monkeypatch.setattr(pod_http, "WAIT_S", 0.01)
    pods = Pods()
    reader = Reader(pods.question)
    await asyncio.gather(*(reader.read(f"10.0.0.{number}") for number in range(10)))
    assert len(pods.asked) == 3


async def test_what_nobody_asks_for_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_http, "KEPT_S", 0.0)

    async def question(address: str) -> str | None:
        return address

    reader = Reader(question)
    assert await reader.read("10.0.0.1") == "10.0.0.1"
    assert len(reader._asked) == 1
    forgotten = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, forgotten.set)
    await forgotten.wait()
    assert reader._asked == {}


@pytest.mark.parametrize("address", ["", "metadata.google.internal", "10.0.0.1:80", "10.0.0.1/../x"])
async def test_only_an_address_is_asked_never_a_name(address: str) -> None:
    assert await ask(address, 9470, size_limit_bytes=100) is None
