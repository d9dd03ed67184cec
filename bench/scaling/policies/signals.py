"""What a baseline reads of an observation."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from modelyard.integrations.signals.engine_metrics import EngineSample, Histogram
from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation, Replica, State

Signal = Callable[[EngineSample], float | None]


def waiting(sample: EngineSample) -> float | None:
    return sample.waiting


def kv_usage(sample: EngineSample) -> float | None:
    return sample.kv_usage


def concurrency(sample: EngineSample) -> float | None:
    """Requests in the engine: those that run and those that wait."""
    if sample.running is None or sample.waiting is None:
        return None
    return sample.running + sample.waiting


def serving(observation: Observation) -> list[Replica]:
    return [replica for replica in observation.replicas if replica.state is State.SERVING]


def starting(observation: Observation) -> int:
    """Replicas that are to serve and do not yet."""
    return sum(replica.state in {State.STARTING, State.PENDING, State.UNREADY} for replica in observation.replicas)


def samples(observation: Observation) -> dict[str, EngineSample]:
    """Those of replicas that serve, by pod."""
    return {
        replica.name: replica.sample for replica in serving(observation) if isinstance(replica.sample, EngineSample)
    }


def total(observation: Observation, signal: Signal) -> float:
    """Over the replicas that serve; a sum in Prometheus leaves out what is missing."""
    return sum(signal(sample) or 0.0 for sample in samples(observation).values())


@dataclass(frozen=True)
class Rates:
    """What arrived per second, and its mean tokens."""

    requests: float
    input_tokens: float
    output_tokens: float


def rates(before: Mapping[str, EngineSample], now: Mapping[str, EngineSample], over_s: float) -> Rates:
    """Of requests that got their first token between two looks, by counters of the pods that are in both."""
    pairs = [(before[name], sample) for name, sample in now.items() if name in before]
    requests = sum(_grown(old.first_tokens_total, new.first_tokens_total) for old, new in pairs)
    tokens_in = sum(_grown(old.prompt_tokens_total, new.prompt_tokens_total) for old, new in pairs)
    tokens_out = sum(_grown(old.generation_tokens_total, new.generation_tokens_total) for old, new in pairs)
    return Rates(requests / over_s, tokens_in / max(requests, 1.0), tokens_out / max(requests, 1.0))


def _grown(old: float | None, new: float | None) -> float:
    return 0.0 if old is None or new is None else max(new - old, 0.0)


def quantile(pairs: Iterable[tuple[Histogram | None, Histogram | None]], share: float) -> float | None:
    """As histogram_quantile over the growth of these histograms; None without any."""
    counts: dict[float, float] = {}
    for old, new in pairs:
        for bound, count in (new.buckets if new else {}).items():
            counts[bound] = counts.get(bound, 0.0) + count - (old.buckets.get(bound, 0.0) if old else 0.0)
    bounds = sorted(counts)
    if not bounds or counts[bounds[-1]] <= 0:
        return None
    rank, lower, below = share * counts[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= rank:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / max(counts[bound] - below, 1e-9)
        lower, below = bound, counts[bound]
    return lower


def decision(desired: int, reason: str) -> Decision:
    return Decision(desired, desired, reason, "", {})
