"""What was needed and what changed before, and how fast the number may change because of it."""

from dataclasses import dataclass

from modelyard.api.scaling import ScalingRules
from modelyard.scaling import rates
from modelyard.scaling.decision import Change
from modelyard.scaling.fleet import Fleet
from modelyard.scaling.stabilization import Recommendation


@dataclass(frozen=True)
class Past:
    """``changes`` before ``complete_since_s``, in seconds since the epoch, may be missing."""

    recommendations: tuple[Recommendation, ...]
    changes: tuple[Change, ...]
    complete_since_s: float

    def most(self, rules: ScalingRules, fleet: Fleet) -> int:
        """The most replicas to scale up to now."""
        return rates.most(rules, self.changes, fleet.current, fleet.now_s, self.complete_since_s)

    def least(self, rules: ScalingRules, fleet: Fleet) -> int:
        """The least replicas to scale down to now."""
        return rates.least(rules, self.changes, fleet.current, fleet.now_s, self.complete_since_s)
