"""How long a replica takes to start, in seconds."""

import random
from dataclasses import dataclass
from math import inf, log


@dataclass(frozen=True)
class Starts:
    """How long a replica takes to start: the median, and the sigma of its lognormal distribution. Of the starts after
    ``broken_from_s``, in seconds since the run's start, none succeeds until ``broken_until_s``; the limit is that of
    the service's start-up.
    """

    median_s: float = 150.0
    sigma: float = 0.1
    limit_s: float = 1800.0
    broken_from_s: float = inf
    broken_until_s: float = inf

    def fails(self, elapsed_s: float) -> bool:
        """Whether a start at this time never succeeds."""
        return self.broken_from_s <= elapsed_s < self.broken_until_s

    def draw(self, chance: random.Random) -> float:
        """Seconds of one start."""
        return chance.lognormvariate(log(self.median_s), self.sigma) if self.median_s else 0.0
