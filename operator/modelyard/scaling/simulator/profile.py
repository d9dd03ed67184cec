"""How fast an engine is on its devices: the time of one iteration, and what fits."""

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise


@dataclass(frozen=True)
class EngineProfile:
    """An iteration takes ``iteration_s`` for the tokens that it computes, ``kv_read_s`` for each token whose keys and
    values it reads, and ``request_s`` for each request that it admits: what the host does with it besides.

    ``iteration_s`` has (tokens, seconds) in ascending order; between them it is linear, and beyond the last it goes on
    as between the last two. ``batched_tokens_limit`` is vLLM's max_num_batched_tokens, ``running_limit`` its
    max_num_seqs. ``devices`` are held by one replica.
    """

    name: str
    iteration_s: tuple[tuple[float, float], ...]
    kv_read_s: float
    kv_capacity_tokens: int
    batched_tokens_limit: int = 2048
    running_limit: int = 256
    devices: int = 1
    request_s: float = 0.0

    def __post_init__(self) -> None:
        points = self.iteration_s
        if not points or any(before[0] >= after[0] for before, after in pairwise(points)):
            raise ValueError(f"profile {self.name}: the token counts of its iteration times must ascend")
        if min(seconds for _, seconds in points) <= 0:
            raise ValueError(f"profile {self.name}: an iteration must take time")
        if min(self.kv_capacity_tokens, self.batched_tokens_limit, self.running_limit, self.devices) < 1:
            raise ValueError(f"profile {self.name}: its limits must be 1 or more")
        if self.batched_tokens_limit < self.running_limit:
            raise ValueError(f"profile {self.name}: as many tokens must fit an iteration as requests run")

    def seconds(self, tokens: float) -> float:
        """Time of an iteration that computes ``tokens``, before what it reads."""
        points = self.iteration_s
        at = bisect_left(points, (tokens, 0.0))
        if at == 0 or len(points) == 1:
            return points[0][1]
        (x0, y0), (x1, y1) = points[min(at, len(points) - 1) - 1 : min(at, len(points) - 1) + 1]
        return y0 + (y1 - y0) * (tokens - x0) / (x1 - x0)

    def table(self) -> tuple[float, ...]:
        """``seconds`` of every number of tokens up to the limit."""
        return _table(self)

    def slower(self, factor: float) -> "EngineProfile":
        """The same engine, slower by ``factor``."""
        return replace(
            self,
            name=f"{self.name} x{factor:g}",
            iteration_s=tuple((tokens, seconds * factor) for tokens, seconds in self.iteration_s),
            kv_read_s=self.kv_read_s * factor,
            request_s=self.request_s * factor,
        )


@lru_cache(maxsize=16)
def _table(profile: EngineProfile) -> tuple[float, ...]:
    return tuple(profile.seconds(tokens) for tokens in range(profile.batched_tokens_limit + 1))
