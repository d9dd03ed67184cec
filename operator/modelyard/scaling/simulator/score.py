"""How well a run went: what the users had of it, and what it cost."""

from dataclasses import dataclass
from itertools import pairwise

from modelyard.api.scaling import Objective
from modelyard.scaling.simulator.request import Request
from modelyard.scaling.simulator.run import Outcome

FIRST_TOKEN_DEFAULT_S = 3.0
OUTPUT_TOKEN_DEFAULT_S = 0.2
"""What the API's defaults of an objective are: api/scaling.py."""

WARM_UP_S = 600.0
"""The first ten minutes do not count: where a run begins is chance."""


@dataclass(frozen=True)
class Limits:
    """The objective in seconds. A request attains it with its first token and the mean time of each further one."""

    first_token_s: float = FIRST_TOKEN_DEFAULT_S
    output_token_s: float = OUTPUT_TOKEN_DEFAULT_S

    @classmethod
    def of(cls, objective: Objective | None) -> "Limits":
        first = objective.time_to_first_token_milliseconds if objective else None
        output = objective.time_per_output_token_milliseconds if objective else None
        return cls(
            FIRST_TOKEN_DEFAULT_S if first is None else first / 1000,
            OUTPUT_TOKEN_DEFAULT_S if output is None else output / 1000,
        )

    def attained_by(self, request: Request) -> bool:
        first_s, output_s = request.time_to_first_token_s, request.time_per_output_token_s
        if first_s is None or output_s is None:
            return False
        return first_s <= self.first_token_s and output_s <= self.output_token_s


@dataclass(frozen=True)
class Score:
    """``attainment`` is the share of all requests that attained the objective; one that failed, or had not finished
    when the run ended, did not. ``device_hours`` are those that replicas held from their start to their end, starting
    and leaving ones included. ``replicas_changed_per_hour`` counts each replica that was added or removed,
    ``changes_per_hour`` the decisions that did so.
    """

    requests: int
    attainment: float
    device_hours: float
    replicas_changed_per_hour: float
    changes_per_hour: float
    at_maximum_share: float
    failed: int
    unfinished: int
    mean_replicas: float
    peak_replicas: int


def score(outcome: Outcome, limits: Limits, maximum: int, warm_up_s: float = WARM_UP_S) -> Score:
    """From ``warm_up_s`` to the end of the traffic; requests that arrived by then are followed to their end."""
    scenario = outcome.scenario
    from_s, until_s = scenario.start_s + warm_up_s, scenario.start_s + scenario.duration_s
    requests = [request for request in outcome.requests if from_s <= request.arrived_s < until_s]
    attained = sum(limits.attained_by(request) for request in requests)
    failed = sum(request.failure is not None for request in requests)
    unfinished = sum(request.finished_s is None and request.failure is None for request in requests)
    changes = [change for change in outcome.changes if from_s <= change.time_s < until_s]
    hours = (until_s - from_s) / 3600
    device_hours = held_hours(outcome.held, from_s, until_s)
    looks = [look for look in outcome.looks if from_s <= look.time_s < until_s]
    return Score(
        requests=len(requests),
        attainment=attained / len(requests) if requests else 1.0,
        device_hours=device_hours,
        replicas_changed_per_hour=sum(abs(change.after - change.before) for change in changes) / hours,
        changes_per_hour=len(changes) / hours,
        at_maximum_share=sum(look.desired >= maximum for look in looks) / max(len(looks), 1),
        failed=failed,
        unfinished=unfinished,
        mean_replicas=device_hours / hours / scenario.profile.devices,
        peak_replicas=max((look.desired for look in looks), default=0),
    )


def held_hours(held: list[tuple[float, int]], from_s: float, until_s: float) -> float:
    """Device-hours between two times, of (time, devices) at each change."""
    total_s = 0.0
    for (start_s, devices), (end_s, _) in pairwise([*held, (until_s, 0)]):
        total_s += devices * max(min(end_s, until_s) - max(start_s, from_s), 0.0)
    return total_s / 3600
