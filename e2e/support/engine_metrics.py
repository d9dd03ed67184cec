"""What an engine's metrics page shows over time, read as the operator reads it."""

import time
import urllib.request
from collections.abc import Sequence

from modelyard.integrations.engines import vllm
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.integrations.signals.engine_page import EnginePage
from modelyard.scaling.meters import Meter, read
from modelyard.scaling.observation import Replica, State

PAGE = EnginePage(vllm.METRICS)


def sample(url: str) -> EngineSample:
    """What a vLLM at this URL shows now."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        found = PAGE.parse(answer.read(), time_s=time.time(), place=url)
    assert isinstance(found, EngineSample), found
    return found


def watched(url: str, *, for_s: float, every_s: float) -> Sequence[Meter]:
    """What autoscaling makes of each sample of that time, of an engine that has served for an hour."""
    meters: list[Meter] = []
    began_s = time.time()
    while time.time() < began_s + for_s:
        replica = Replica("engine", State.SERVING, began_s - 3600, sample(url))
        meter = read(meters[-1] if meters else None, replica)
        assert meter is not None
        meters.append(meter)
        time.sleep(every_s)
    return meters


def told(meters: Sequence[Meter]) -> str:
    """A line for each: seconds since the first, what the gauges show, tokens generated, and whether it is believed."""
    begin_s = meters[0].sample.time_s
    return "\n".join(
        f"{meter.sample.time_s - begin_s:5.1f} s: {meter.sample.running} run, {meter.sample.waiting} wait, "
        f"KV cache {meter.sample.kv_usage}, {meter.sample.generation_tokens_total} tokens"
        + (", not believed" if meter.suspect else "")
        for meter in meters
    )
