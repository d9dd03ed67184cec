"""What is run: traffic, engine, and what befalls the fleet. Days to tune on are others than those reported."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from bench.scaling.days import Folder, scaled, times
from bench.scaling.policies.dynamo import seconds_per_request
from bench.scaling.policies.signals import Rates as Seen
from modelyard.api.scaling import Objective, Scaling
from modelyard.scaling.simulator.clients import Arrival, Clients, ClosedLoop, OpenLoop
from modelyard.scaling.simulator.faults import Fault, SpotLoss
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.profiles import PROFILES
from modelyard.scaling.simulator.run import Scenario
from modelyard.scaling.simulator.score import WARM_UP_S, Limits
from modelyard.scaling.simulator.starts import Starts
from modelyard.scaling.simulator.traffic import Rates, arrivals, constant, lengths_from, spike

A10G, A100, H100 = PROFILES["a10g-llama-8b"], PROFILES["a100-llama-8b"], PROFILES["h100-llama-70b"]
QWEN = PROFILES["h100x2-qwen3-32b"]
LIMITS = Limits()
STARTS = Starts(median_s=150.0, sigma=0.1)
_BURSTY = 2.0
_MEAN_REPLICAS = 5.0

Kind = Literal["training", "variable", "gentle", "other", "slower", "faster", "spot", "ramp", "closed"]
Lengths = list[tuple[int, int]]
Traffic = Callable[[Folder, int, float], Clients]


@dataclass(frozen=True)
class Case:
    """``traffic`` is made from the folder of the traces, the seed and the seconds of a day. ``tuned_on`` is the profile
    whose training days the baselines are tuned on.
    """

    name: str
    kind: Kind
    profile: EngineProfile
    traffic: Traffic
    tuned_on: str
    hours: float | None = None  # None: those of a day
    minimum: int = 1
    maximum: int = 64
    begins_with: int = 5
    starts: Starts = STARTS
    faults: tuple[Fault, ...] = ()
    routing: Literal["LeastLoaded", "PerConnection"] = "LeastLoaded"
    warm_up_s: float = WARM_UP_S
    objective: Objective | None = None

    @property
    def limits(self) -> Limits:
        return Limits.of(self.objective)

    @property
    def scaling(self) -> Scaling:
        """What a user would write: bounds, and an objective where it is not the default."""
        return Scaling(min_replicas=self.minimum, max_replicas=self.maximum, objective=self.objective)

    def duration_s(self, day_hours: float) -> float:
        return (self.hours or day_hours) * 3600

    def scenario(self, folder: Folder, seed: int, day_hours: float) -> Scenario:
        """The run of one seed."""
        return Scenario(
            self.traffic(folder, seed, day_hours * 3600),
            self.profile,
            self.duration_s(day_hours),
            replicas=self.begins_with,
            starts=self.starts,
            routing=self.routing,
            faults=self.faults,
            seed=seed,
        )


def _lengths(folder: Folder, longer: int) -> Lengths:
    """Those of Azure's chats, or some times as long: fewer requests keep a fast engine busy then."""
    return [(one.input_tokens * longer, one.output_tokens * longer) for one in folder.azure_conversation()]


def _rate(lengths: Lengths, profile: EngineProfile, replicas: float) -> float:
    """Requests per second that keep ``replicas`` busy."""
    count = len(lengths)
    seen = Seen(1.0, sum(one for one, _ in lengths) / count, sum(one for _, one in lengths) / count)
    return replicas / seconds_per_request(profile, LIMITS, seen)


def _longer(profile: EngineProfile) -> int:
    return 1 if profile.kv_capacity_tokens < 100_000 else 3


def _day(model: str, day: int, profile: EngineProfile) -> Traffic:
    def made(folder: Folder, seed: int, duration_s: float) -> Clients:
        lengths = _lengths(folder, _longer(profile))
        rates = scaled(folder.servegen_day(model, day), duration_s, _rate(lengths, profile, _MEAN_REPLICAS))
        return OpenLoop(arrivals(rates, lengths_from(lengths), seed, _BURSTY))

    return made


def _made(rates: Callable[[Lengths], Rates], variation: float = 1.0) -> Traffic:
    def made(folder: Folder, seed: int, duration_s: float) -> Clients:  # noqa: ARG001 - the shape of Traffic
        lengths = _lengths(folder, 1)
        return OpenLoop(arrivals(rates(lengths), lengths_from(lengths), seed, variation))

    return made


def _recorded(trace: Callable[[Folder], list[Arrival]], count: int, hours: float) -> Traffic:
    """A record is the same for each seed but for a shift of its copies."""

    def made(folder: Folder, seed: int, duration_s: float) -> Clients:  # noqa: ARG001 - the shape of Traffic
        shift_s = random.Random(seed).uniform(0.1, 5.0)
        return OpenLoop(times(trace(folder), count, hours * 3600, shift_s))

    return made


def _agents(folder: Folder, seed: int, duration_s: float) -> Clients:  # noqa: ARG001 - the shape of Traffic
    return ClosedLoop(64, _lengths(folder, 1), duration_s=2 * 3600, think_s=2.0, seed=seed)


def _training(profile: EngineProfile) -> tuple[Case, ...]:
    return tuple(
        Case(
            f"train-{model}-{day}-{profile.name}",
            "training",
            profile,
            _day(f"language/m-{model}", day, profile),
            profile.name,
        )
        for model, day in (("large", 0), ("small", 2))
    )


def _servegen(model: str, day: int, kind: Kind, profile: EngineProfile = A10G, suffix: str = "") -> Case:
    """A day of ServeGen. A profile that differs from what was measured has the traffic of that."""
    tuned_on = A10G if kind in {"slower", "faster"} else profile
    traffic = _day(f"language/m-{model}", day, tuned_on)
    return Case(f"{model}-{day}{suffix}", kind, profile, traffic, tuned_on.name)


_HOUR = 0.95  # of a record of 58 minutes
_SPOT_REPLICAS = 12
# llm-d's published episode: (seconds, requests/s), prompts of 4000 tokens, answers of 1000.
_RAMP = ((330, 2.0), (360, 4.0), (360, 6.0), (360, 8.0), (360, 10.0), (360, 4.0), (300, 1.0))
_RAMP_OBJECTIVE = Objective(time_to_first_token_milliseconds=3000, time_per_output_token_milliseconds=100)


def _ramp(folder: Folder, seed: int, duration_s: float) -> Clients:  # noqa: ARG001 - the shape of Traffic
    starts_s = accumulate((seconds for seconds, _ in _RAMP), initial=0)
    rates = list(zip(starts_s, (*(rate for _, rate in _RAMP), 0.0), strict=True))
    return OpenLoop(arrivals(rates, lengths_from([(4000, 1000)]), seed))


CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        *(case for profile in (A10G, A100, H100, QWEN) for case in _training(profile)),
        # Peak to mean of 1.9 and more is variable, up to 1.35 is gentle: by the traces, before anything was run.
        _servegen("large", 1, "variable"),
        _servegen("large", 5, "variable"),
        _servegen("small", 5, "variable"),
        _servegen("large", 2, "gentle"),
        _servegen("small", 3, "gentle"),
        _servegen("large", 1, "other", A100, "-a100"),
        _servegen("large", 1, "other", H100, "-h100"),
        _servegen("large", 1, "slower", A10G.slower(1.3), "-slower"),
        _servegen("large", 1, "faster", A10G.slower(1 / 1.3), "-faster"),
        Case("conversation", "other", A10G, _recorded(Folder.azure_conversation, 2, _HOUR), A10G.name, _HOUR),
        Case("code", "other", A100, _recorded(Folder.azure_code, 4, _HOUR), A100.name, _HOUR),
        Case("mooncake", "other", H100, _recorded(Folder.mooncake, 1, _HOUR), H100.name, _HOUR),
        Case("spike", "other", A10G, _made(lambda _: spike(3.0, 4.0, 1800, 3600, 5400)), A10G.name, 1.5),
        Case(
            "service-routing",
            "other",
            A10G,
            _day("language/m-large", 1, A10G),
            A10G.name,
            routing="PerConnection",
        ),
        *(
            Case(
                name,
                "spot",
                A10G,
                _made(lambda lengths: constant(_rate(lengths, A10G, _SPOT_REPLICAS * 0.75), 5400)),
                A10G.name,
                1.5,
                begins_with=_SPOT_REPLICAS,
                faults=faults,
            )
            for name, faults in (("spot-calm", ()), ("spot-half-lost", (SpotLoss(2700, _SPOT_REPLICAS // 2),)))
        ),
        Case(
            "ramp",
            "ramp",
            QWEN,
            _ramp,
            QWEN.name,
            sum(seconds for seconds, _ in _RAMP) / 3600,
            minimum=3,
            maximum=8,
            begins_with=3,
            starts=Starts(100.0, 0.1),
            warm_up_s=0.0,
            objective=_RAMP_OBJECTIVE,
        ),
        Case("agents", "closed", A10G, _agents, A10G.name, 2.0, maximum=32, begins_with=1, warm_up_s=3600.0),
    )
}
