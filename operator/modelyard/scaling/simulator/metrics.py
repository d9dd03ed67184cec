"""What a policy sees of the engines: what they expose, when they are scraped, late, with gaps, and nothing else."""

import random
from dataclasses import dataclass

from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.scaling.simulator.engine import Engine


@dataclass(frozen=True)
class Scraping:
    """A scrape every ``interval_s``, seen ``delay_s`` later. ``gap_share`` of the scrapes fail, and all of them in the
    ``outages``: (start, end) in seconds since the run's start.
    """

    interval_s: float = 15.0
    delay_s: float = 1.0
    gap_share: float = 0.0
    outages: tuple[tuple[float, float], ...] = ()

    def sample(self, engine: Engine, now_s: float, elapsed_s: float, chance: random.Random) -> EngineSample | Unknown:
        """What one scrape gives. The engine was advanced to ``now_s``."""
        if any(start_s <= elapsed_s < end_s for start_s, end_s in self.outages):
            return Unknown("no answer: metrics are out")
        if self.gap_share and chance.random() < self.gap_share:
            return Unknown("no answer in time")
        return sample(engine, now_s, self.interval_s)


def sample(engine: Engine, now_s: float, interval_s: float) -> EngineSample:
    """The engine's metrics at ``now_s``, to which it was advanced; the next come ``interval_s`` later."""
    counters, gauges, profile = engine.counters, engine.gauges, engine.profile
    return EngineSample(
        time_s=now_s,
        waiting=gauges.waiting,
        running=gauges.running,
        kv_usage=gauges.kv_used_tokens / profile.kv_capacity_tokens,
        kv_capacity_tokens=profile.kv_capacity_tokens,
        running_limit=profile.running_limit,
        preemptions_total=counters.preemptions,
        prompt_tokens_total=counters.prompt,
        cached_prompt_tokens_total=counters.cached_prompt,
        generation_tokens_total=counters.generated,
        finished_total=counters.finished,
        first_tokens_total=counters.first_token_s.count,
        iterations_total=counters.iterations,
        queue_s_total=counters.queue_s,
        compute_s_total=counters.compute_s,
        time_to_first_token_s=counters.first_token_s.histogram(),
        time_per_output_token_s=counters.output_token_s.histogram(),
        interval_s=interval_s,
    )
