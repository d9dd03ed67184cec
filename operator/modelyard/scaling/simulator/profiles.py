"""Profiles of engines by name, and a profile fitted to measurements."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import inf
from operator import itemgetter

from modelyard.scaling.simulator.profile import EngineProfile

_HOST_S = 0.004
"""What an iteration takes beside the model's own operations: scheduling, sampling, launches. 2 to 6 ms are usual."""


def _with_host(*points: tuple[int, float]) -> tuple[tuple[float, float], ...]:
    return tuple((tokens, milliseconds / 1000 + _HOST_S) for tokens, milliseconds in points)


PROFILES = {
    profile.name: profile
    for profile in (
        # Derived from its bandwidth (600 GB/s) and FLOPs, not measured; 24 GB less the weights hold 33k tokens.
        EngineProfile("a10g-llama-8b", _with_host((1, 23.5), (64, 26.0), (128, 47.4), (2048, 758.5)), 2.7e-7, 33_000),
        # Linear operations: microsoft/vidur (MIT), data/profiling/compute. KV: 128 KiB a token at 1.6 TB/s, 80 GB.
        EngineProfile(
            "a100-llama-8b",
            _with_host((1, 9.7), (64, 11.2), (128, 13.2), (256, 19.5), (1024, 75), (2048, 142)),
            8e-8,
            412_000,
        ),
        # As before, and 15 ms for the host and all-reduce: so much longer one request took in shashwatj07/SageServe
        # (MIT), data/perf_model, which the KV read is fitted to.
        EngineProfile(
            "h100-llama-70b",
            ((1, 0.0293), (64, 0.0303), (256, 0.0342), (1024, 0.077), (2048, 0.129)),
            6.3e-8,
            450_000,
            devices=4,
        ),
        # llm-d/llm-d, guides/workload-autoscaling: 15,928 tokens/s of prefill (token-aware), 1.4 to 1.5 requests/s of
        # 4000 and 1000 tokens (slo-aware). KV: 256 KiB a token over two GPUs, derived from their bandwidth.
        EngineProfile(
            "h100x2-qwen3-32b",
            _with_host((1, 12.5), (128, 14), (256, 18), (2048, 124.6)),
            4.9e-8,
            300_000,
            devices=2,
        ),
    )
}


@dataclass(frozen=True)
class Measured:
    """One iteration, or the mean of many: the tokens it computed (one for each request that decodes, the prompt of one
    that prefills), the tokens whose keys and values it read, its seconds, and the requests that it admitted.
    """

    tokens: float
    context_tokens: float
    seconds: float
    requests: float = 0.0


_KNEES = 2
_KNEES_FROM = 12
"""Sizes that are tried as knees: all of a few, else so many that are spread over them."""


def fit(name: str, rows: Sequence[Measured], kv_capacity_tokens: int, **limits: int) -> EngineProfile:
    """The profile that is nearest to the measurements by relative error: linear from knee to knee, of which there are
    at most two, plus what reading and each request take. ``limits`` are further fields of EngineProfile. Raises
    ValueError where there are too few rows.
    """
    sizes = sorted({row.tokens for row in rows})
    if len(sizes) < 2:
        raise ValueError("a fit needs iterations of at least two sizes")
    tried = _spread(sizes[1:-1])
    choices = (knees for number in range(_KNEES + 1) for knees in combinations(tried, number))
    _, knees, (base, read, request, *slopes) = min(
        (_least_squares(rows, knees) for knees in choices), key=itemgetter(0)
    )
    points = [
        (tokens, base + sum(slope * part for slope, part in zip(slopes, _parts(tokens, knees), strict=True)))
        for tokens in (sizes[0], *knees, sizes[-1])
    ]
    return EngineProfile(name, tuple(points), read, kv_capacity_tokens, request_s=request, **limits)


def _spread(sizes: Sequence[float]) -> Sequence[float]:
    step = max(len(sizes) / _KNEES_FROM, 1.0)
    return [sizes[int(number * step)] for number in range(min(len(sizes), _KNEES_FROM))]


def _parts(tokens: float, knees: Sequence[float]) -> list[float]:
    """How many of the tokens lie before the first knee, between each two, and from the last on."""
    return [max(min(tokens, end) - begin, 0.0) for begin, end in pairwise((0.0, *knees, inf))]


Solution = tuple[float, Sequence[float], list[float]]


def _least_squares(rows: Sequence[Measured], knees: Sequence[float]) -> Solution:
    """The squared error, the knees, and the seconds: base, per token read, per request, and per token of each
    part. None is negative: an unknown that would be is left out.
    """
    features = [
        [value / row.seconds for value in (1.0, row.context_tokens, row.requests, *_parts(row.tokens, knees))]
        for row in rows
    ]
    used = [at for at in range(len(features[0])) if any(feature[at] for feature in features)]
    while True:
        solved = _solve(features, used)
        worst = min(used, key=lambda at: solved[at])
        if solved[worst] >= 0:
            break
        used.remove(worst)
    error = sum((sum(x * y for x, y in zip(feature, solved, strict=True)) - 1) ** 2 for feature in features)
    return error, knees, solved


def _solve(features: Sequence[Sequence[float]], used: Sequence[int]) -> list[float]:
    """The factors of the ``used`` features that make their sum 1 as nearly as possible; 0 for the others."""
    matrix = [
        [sum(row[i] * row[j] for row in features) for j in used] + [sum(row[i] for row in features)] for i in used
    ]
    size = len(used)
    for at in range(size):
        pivot = max(range(at, size), key=lambda i: abs(matrix[i][at]))
        matrix[at], matrix[pivot] = matrix[pivot], matrix[at]
        if abs(matrix[at][at]) < 1e-300:
            continue
        for i in range(size):
            if i != at:
                factor = matrix[i][at] / matrix[at][at]
                matrix[i] = [x - factor * y for x, y in zip(matrix[i], matrix[at], strict=True)]
    solved = [0.0] * len(features[0])
    for at, feature in enumerate(used):
        solved[feature] = matrix[at][size] / matrix[at][at] if abs(matrix[at][at]) >= 1e-300 else 0.0
    return solved


def mean_error(profile: EngineProfile, rows: Sequence[Measured]) -> float:
    """Mean of the relative errors of the profile's times."""
    return sum(abs(predicted_s(profile, row) / row.seconds - 1) for row in rows) / len(rows)


def predicted_s(profile: EngineProfile, row: Measured) -> float:
    """What the profile says of such an iteration."""
    return profile.seconds(row.tokens) + profile.kv_read_s * row.context_tokens + profile.request_s * row.requests
