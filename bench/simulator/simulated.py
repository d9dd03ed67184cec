"""The same requests through the simulator's engine, scraped as the real one is. Pure."""

from collections.abc import Iterator, Sequence

from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.scaling.simulator.clients import Arrival
from modelyard.scaling.simulator.engine import Engine
from modelyard.scaling.simulator.metrics import sample
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.request import Request


def open_loop(
    profile: EngineProfile, arrivals: Sequence[Arrival], duration_s: float, every_s: float
) -> list[EngineSample]:
    """Samples from the begin to ``duration_s`` of what an engine of that profile makes of the arrivals."""
    engine = Engine(profile, 0.0)
    left = iter(arrivals)
    following = next(left, None)
    samples = []
    for number in range(int(duration_s / every_s) + 1):
        now_s = number * every_s
        while following is not None and following.time_s <= now_s:
            engine.advance(following.time_s)
            engine.submit(Request(*following), following.time_s)
            following = next(left, None)
        engine.advance(now_s)
        samples.append(sample(engine, now_s))
    return samples


def closed_loop(
    profile: EngineProfile, lengths: Iterator[tuple[int, int]], clients: int, duration_s: float, every_s: float
) -> list[EngineSample]:
    """The same for so many clients that each send their next request when they have their answer."""
    engine = Engine(profile, 0.0)
    for _ in range(clients):
        engine.submit(Request(0.0, *next(lengths)), 0.0)
    samples = []
    for number in range(int(duration_s / every_s) + 1):
        while engine.next_s <= number * every_s:
            now_s = engine.next_s
            for _ in engine.advance(now_s):
                engine.submit(Request(now_s, *next(lengths)), now_s)
        engine.advance(number * every_s)
        samples.append(sample(engine, number * every_s))
    return samples
