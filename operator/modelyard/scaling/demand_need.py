"""What demand asks for: replicas for the load to expect once they have started, and for the queue that is left then."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

from modelyard.scaling.attainment import judged
from modelyard.scaling.decision import Input
from modelyard.scaling.demand import Point, Traffic
from modelyard.scaling.fleet import Fleet
from modelyard.scaling.forecast import Forecast, Forecasts
from modelyard.scaling.limits import Carried, Limit, Objective
from modelyard.scaling.need import Need
from modelyard.scaling.speed import Speed

COLD_START_S = 180.0
"""Expected before a replica ever started."""

DOWN_MARGIN = 1.1
"""To go down, the load must stay below the limit by this factor: what is enough now is enough in a minute, too."""

HELD_ERROR = 0.5

JUMP_FACTOR = 1.1
"""Demand that already loads the replicas beyond their limit by this factor needs no forecast."""

UP_SLACK = 0.03
"""Share of a replica that may be short before one more is started."""

DRAIN_S = 60.0
"""A queue that is left when new replicas are ready is to be gone within this time."""

BACKLOG_SHARE = 0.75
"""The most that a queue may add, as a share of what demand asks for: it is gone before long."""

QUEUE_SHARE = 0.5
"""A queue that takes longer than this share of the objective for the first token asks for a replica."""

_FIXED_REQUEST = (1000.0, 200.0)
"""Prompt and output tokens."""

_SMALL_LOAD = 0.1
"""Errors of forecasts are relative to the demand, of a smaller one to this."""

GUARDS = ("queueDepth", "kvCacheUsage")
"""Signals that guard a way down beside demand: where one that the engine has is not there, it may hide load."""

KV_FULL = 0.92
KV_BEARS = 0.85


@dataclass(frozen=True)
class Learnt:
    """What was learnt of a service's engine and traffic."""

    speed: Speed
    carried: Carried
    traffic: Traffic
    forecasts: Forecasts


PLANNED = (0.5, 1.1)
"""Loads, relative to the limit, at which late requests show something of the limit."""

PLANNED_WAITING = 2.0
"""With more waiting requests per replica, requests are late since demand rose, whatever the limit."""


def learn(before: Learnt, fleet: Fleet, objective: Objective, horizon_s: float) -> tuple[Learnt, Forecast | None]:
    """With this look; the forecast is None while some or all demand is not known."""
    flows = fleet.flows
    speed = before.speed.learnt(flows)
    carried = before.carried.learnt(flows, speed)
    traffic = before.traffic.counted(flows)
    learnt = Learnt(speed, carried, traffic, before.forecasts)
    if not flows or fleet.unmeasured:
        return learnt, None
    point = traffic.at(fleet.now_s, fleet.demanded)
    traffic = traffic.with_point(point)
    carried = _trimmed(carried, speed, point, fleet, objective)
    # In requests of a fixed size, so that what is learnt of the speed meanwhile is no error of a forecast.
    request_s = speed.load(*_FIXED_REQUEST)
    series = [(time_s, load / request_s) for time_s, load in traffic.loads(speed)]
    forecasts = before.forecasts.judged(series, fleet.now_s, _SMALL_LOAD / request_s)
    forecast, forecasts = forecasts.made(series, fleet.now_s, horizon_s, _SMALL_LOAD / request_s)
    return Learnt(speed, carried, traffic, forecasts), forecast.scaled(request_s)


def _trimmed(carried: Carried, speed: Speed, point: Point, fleet: Fleet, objective: Objective) -> Carried:
    limit = carried.limit(speed, objective, _running_limit(fleet)).load
    load = speed.load(point.prompt, point.output) / len(fleet.serving) / limit
    waiting = sum(flow.waiting for flow in fleet.flows)
    if not PLANNED[0] <= load <= PLANNED[1] or waiting > PLANNED_WAITING * len(fleet.serving):
        return carried
    return carried.trimmed(*judged(fleet.known, objective))


def need(learnt: Learnt, forecast: Forecast | None, fleet: Fleet, objective: Objective, horizon_s: float) -> Need:
    """What is needed and what is enough, and whether fewer replicas would bear the load."""
    limit = learnt.carried.limit(learnt.speed, objective, _running_limit(fleet))
    state = _state(learnt, fleet, objective)
    if not fleet.known or (forecast is None and not fleet.flows):
        return Need(None, None, "", state.inputs(None), waits_for=("demand",) if fleet.uncounted else ())
    waits_for = tuple(signal for signal in GUARDS if any(meter.lacks(signal) for meter in fleet.known))
    if forecast is None:
        return replace(_partly_known(learnt, fleet, limit, state, horizon_s), waits_for=waits_for)
    provided = forecast.provided
    most = (max(forecast.expected, forecast.steady) + forecast.error) * (1 + learnt.speed.doubt)
    up = max(ceil(provided / limit.load - UP_SLACK), 1)
    up = max(up, ceil(forecast.level / min(limit.load * JUMP_FACTOR, 0.97) - UP_SLACK))
    left_s = _queue_left_s(state, fleet, forecast.level, learnt.carried.highest, horizon_s)
    extra = _for_queue(left_s, limit, up)
    up += extra
    rail = state.rail(len(fleet.serving))
    if rail:
        up = max(up, _one_more(fleet))
    down = max(ceil(most * DOWN_MARGIN / limit.load), 1)
    held = max(ceil(_held(forecast) * (1 + learnt.speed.doubt) * DOWN_MARGIN / limit.load), 1)

    def bears(after: int) -> bool:
        return most * DOWN_MARGIN <= limit.load * after + 1e-9 and state.bears(after)

    text = _text(forecast, limit, extra, rail)
    return Need(up, max(up, down), text, state.inputs(up), bears, waits_for, held)


def _held(forecast: Forecast) -> float:
    """The demand that the window of scaling down remembers. The window takes its highest anyway: that of a burst, and
    the whole head-room on top, would keep replicas for what is over.
    """
    return forecast.calm + HELD_ERROR * forecast.error


def _one_more(fleet: Fleet) -> int:
    """What the rails ask for: one replica, once the last is ready."""
    return fleet.healthy if fleet.on_the_way else fleet.healthy + 1


def _for_queue(left_s: float, limit: Limit, up: int) -> int:
    """Replicas for the queue that is left at the horizon, in seconds of a replica's time."""
    return min(ceil(left_s / DRAIN_S / limit.load), ceil(BACKLOG_SHARE * up)) if left_s > 0 else 0


def _partly_known(
    learnt: Learnt,
    fleet: Fleet,
    limit: Limit,
    state: "_State",
    horizon_s: float,
) -> Need:
    """Replicas that are not known count as empty for going up, and as full for going down."""
    point = learnt.traffic.at(fleet.now_s, fleet.demanded)
    load = learnt.speed.load(point.prompt, point.output)
    up = max(ceil(load / limit.load - UP_SLACK), 1)
    extra, rail = 0, ""
    if state.unknown:  # else some are only new, and all is known at the next look
        extra = _for_queue(_queue_left_s(state, fleet, load, learnt.carried.highest, horizon_s), limit, up)
        rail = state.rail(len(fleet.serving))
    up += extra
    if rail:
        up = max(up, _one_more(fleet))
    full = load + fleet.unmeasured * limit.load
    down = max(ceil(full * DOWN_MARGIN / limit.load), up)
    text = (
        f"The replicas that report need {load:.2f} replicas' time; {fleet.unmeasured} that do not count as empty for "
        "scaling up and as full for scaling down."
    )

    def bears(after: int) -> bool:
        return full * DOWN_MARGIN <= limit.load * after and state.bears(after)

    return Need(up, down, _with_gauges(text, extra, rail), state.inputs(up), bears)


def _text(forecast: Forecast, limit: Limit, extra: int, rail: str) -> str:
    return _with_gauges(_forecast_text(forecast, limit), extra, rail)


def _forecast_text(forecast: Forecast, limit: Limit) -> str:
    return (
        f"Requests will need {forecast.expected:.2f} replicas' time in {forecast.horizon_s:.0f} s, "
        f"{forecast.error:.2f} more for the forecast's error, and a replica is loaded to "
        f"{limit.load:.0%} ({limit.why})."
    )


def _with_gauges(text: str, extra: int, rail: str) -> str:
    if extra:
        text += f" The queue needs {extra} more."
    return text + (f" {rail}" if rail else "")


@dataclass(frozen=True)
class _State:
    """Signals over the replicas that are known: ``number`` of them, beside ``unknown`` ones. ``wait_s`` is how long the
    queue takes to be admitted at today's pace, ``queued_s`` the replicas' time in it.
    """

    objective: Objective
    number: int
    unknown: int
    load: float | None
    waiting: float | None
    running: float | None
    kv_usage: float | None
    wait_s: float
    queued_s: float

    def rail(self, serving: int) -> str:
        """What asks for a replica beside demand, in words; empty if nothing does."""
        if self.kv_usage is not None and self.kv_usage >= KV_FULL:
            return f"The KV caches are {self.kv_usage:.0%} full."
        if (self.waiting or 0.0) > serving and self.wait_s > self._longest_wait_s:
            return f"{self.waiting:.0f} requests wait, the last for about {self.wait_s:.1f} s."
        return ""

    def bears(self, after: int) -> bool:
        """Whether ``after`` of the replicas would be clear of ``rail``, with those that are not known as full as may
        be.
        """
        number = self.number + self.unknown
        if after >= number:
            return True
        growth = number / after if after else inf
        if self.kv_usage and self._with_unknown(self.kv_usage, KV_BEARS) * growth > KV_BEARS:
            return False
        most_s = self._longest_wait_s / 2
        return not self.waiting or self._with_unknown(self.wait_s, most_s) * growth * growth <= most_s

    @property
    def _longest_wait_s(self) -> float:
        return QUEUE_SHARE * self.objective.first_token_s

    def _with_unknown(self, mean: float, theirs: float) -> float:
        return mean + (theirs - mean) * self.unknown / (self.number + self.unknown)

    def inputs(self, demand_replicas: int | None) -> dict[str, Input]:
        return {
            "demand": Input(self.load, demand_replicas),
            "queueDepth": Input(self.waiting, None),
            "kvCacheUsage": Input(self.kv_usage, None),
            "runningRequests": Input(self.running, None),
        }


def _state(learnt: Learnt, fleet: Fleet, objective: Objective) -> _State:
    meters, flows = fleet.known, fleet.flows
    waiting = _total([meter.waiting for meter in meters])
    kv = [meter.kv_usage for meter in meters if meter.kv_usage is not None]
    admitted = sum(flow.first for flow in flows)
    point = learnt.traffic.at(fleet.now_s, fleet.demanded) if flows else None
    return _State(
        objective=objective,
        number=len(meters),
        unknown=sum(each.meter is None and not each.new for each in fleet.serving),
        load=learnt.speed.load(point.prompt, point.output) if point else None,
        waiting=waiting,
        running=_total([meter.running for meter in meters]),
        kv_usage=sum(kv) / len(kv) if kv else None,
        wait_s=(waiting or 0.0) / admitted if admitted else (60.0 if waiting else 0.0),
        queued_s=(waiting or 0.0) * learnt.traffic.request_s(learnt.speed),
    )


def _queue_left_s(state: _State, fleet: Fleet, level: float, highest: float, horizon_s: float) -> float:
    """Replicas' time in the queue that is left at the horizon, by what serves now and what is on its way."""
    serving = len(fleet.serving) + fleet.on_the_way / 2
    return state.queued_s + (level - highest * serving) * horizon_s if state.queued_s else 0.0


def _running_limit(fleet: Fleet) -> float | None:
    limits = [meter.sample.running_limit for meter in fleet.known if meter.sample.running_limit]
    return min(limits, default=None)


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
