"""When the operator calls itself alive and ready."""

from dataclasses import dataclass

import pytest
from aiohttp import ClientSession, web
from prometheus_client import CONTENT_TYPE_LATEST

from modelyard.api import kinds
from modelyard.controller.health import OLDEST_KEY_S, Health, endpoint

RESYNC_S = 600.0
NONE: frozenset[kinds.Kind] = frozenset()


@dataclass
class World:
    now_s: float = 50.0
    oldest_key_s: float = 0.0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def health(world: World) -> Health:
    return Health(lambda: world.now_s, RESYNC_S, lambda: world.oldest_key_s)


@pytest.fixture
def served() -> web.Application:
    return web.Application()


def test_an_operator_that_starts_is_alive_but_not_ready(health: Health) -> None:
    assert health.problems() == []
    assert not health.is_ready


def test_it_is_ready_once_it_knows_all_and_watches(health: Health) -> None:
    health.resynced(NONE)
    assert not health.is_ready
    health.watching()
    assert health.is_ready


def test_it_is_not_alive_when_three_resyncs_did_not_happen(health: Health, world: World) -> None:
    health.resynced(NONE)
    world.now_s += 3 * RESYNC_S
    assert health.problems() == []
    world.now_s += 1
    assert "full LIST" in health.problems()[0]
    health.resynced(NONE)
    assert health.problems() == []


def test_it_is_not_alive_when_a_service_waits_for_minutes(health: Health, world: World) -> None:
    world.oldest_key_s = OLDEST_KEY_S + 1
    assert "a service has waited" in health.problems()[0]


def test_it_is_not_alive_when_one_watch_lags_twice_in_a_row(health: Health) -> None:
    health.resynced(frozenset({kinds.POD}))
    assert health.problems() == []
    health.resynced(frozenset({kinds.SERVICE}))
    assert health.problems() == []
    health.resynced(frozenset({kinds.SERVICE, kinds.POD}))
    assert health.problems() == ["the watch of services delivers no events"]
    health.resynced(NONE)
    assert health.problems() == []


async def test_the_endpoint_reports_all_three(health: Health, world: World) -> None:
    runner = web.AppRunner(endpoint(health, lambda: b"a_metric 1\n"), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    try:
        async with ClientSession(f"http://{host}:{port}") as session:
            assert [(await session.get(path)).status for path in ("/healthz", "/readyz")] == [200, 503]
            health.resynced(NONE)
            health.watching()
            world.oldest_key_s = OLDEST_KEY_S + 1
            assert [(await session.get(path)).status for path in ("/healthz", "/readyz")] == [503, 200]
            assert "a service has waited" in await (await session.get("/healthz")).text()
            metrics = await session.get("/metrics")
            assert await metrics.read() == b"a_metric 1\n"
            assert metrics.headers["Content-Type"] == CONTENT_TYPE_LATEST
    finally:
        await runner.cleanup()
