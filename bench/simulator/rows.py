"""From samples of the engine's counters to measured iterations, which a profile is fitted to. Pure."""

from collections.abc import Sequence

from modelyard.integrations.signals.engine_metrics import EngineSample, Histogram
from modelyard.scaling.simulator.profiles import Measured


class TooFewSamplesError(Exception):
    """The samples show too little to measure an iteration by."""


def decoding(samples: Sequence[EngineSample], requests: int, prompt_tokens: int) -> Measured:
    """The mean iteration while ``requests`` decode, which came at once to an idle engine, all with prompts of that
    length. ``samples`` are from before they came until the end. The seconds are those between two tokens of a request.
    """
    before = samples[0]

    def decode_only(sample: EngineSample) -> bool:
        first = _total(sample.first_tokens_total) - _total(before.first_tokens_total)
        finished = _total(sample.finished_total) - _total(before.finished_total)
        return (first, finished, sample.running) == (requests, 0, requests)

    steady = [sample for sample in samples if decode_only(sample)]
    if len(steady) < 2:
        raise TooFewSamplesError(f"{requests} requests were seen to decode in {len(steady)} samples only")
    generated = [_total(end.generation_tokens_total) - _total(before.generation_tokens_total) for end in _ends(steady)]
    return Measured(
        tokens=requests,
        context_tokens=requests * prompt_tokens + sum(generated) / 2,
        seconds=_mean_s(*(end.time_per_output_token_s for end in _ends(steady))),
    )


def prompts(before: EngineSample, after: EngineSample, seconds: float) -> Measured:
    """The mean iteration of an engine that computed prompts, and nothing else, for so many seconds."""
    iterations = _total(after.iterations_total) - _total(before.iterations_total)
    tokens = _total(after.prompt_tokens_total) - _total(before.prompt_tokens_total)
    requests = _total(after.first_tokens_total) - _total(before.first_tokens_total)
    if iterations < 2:
        raise TooFewSamplesError(f"{iterations:.0f} iterations with prompts were counted")
    return Measured(tokens / iterations, tokens / iterations, seconds / iterations, requests / iterations)


def _ends(samples: Sequence[EngineSample]) -> tuple[EngineSample, EngineSample]:
    return samples[0], samples[-1]


def _mean_s(before: Histogram | None, after: Histogram | None) -> float:
    """Mean of the values that came to a histogram."""
    if before is None or after is None or after.count <= before.count:
        raise TooFewSamplesError("the engine reports no times between tokens")
    return (after.sum - before.sum) / (after.count - before.count)


def _total(counter: float | None) -> float:
    if counter is None:
        raise TooFewSamplesError("the engine does not report all counters")
    return counter
