"""The replicas as a decision sees them: what each does, which can be believed, and what is not known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modelyard.integrations.signals.engine_metrics import Unknown
from modelyard.scaling.meters import Flow, Meter, read
from modelyard.scaling.observation import Observation, Replica, State

STALE_INTERVALS = 2
"""A sample is unknown once it is older than so many of its source's intervals: the next one is missing."""

REPLACED_AFTER_S = 30.0
"""A replica that is unready for longer does not count as capacity; one more runs in its place."""

NEW_S = 30.0
"""A replica that became ready no longer ago than this and did not report yet is new, not unknown."""


@dataclass(frozen=True)
class Serving:
    """A replica that is ready. ``meter`` is None if it is not known what it does, ``new`` if it hardly began."""

    name: str
    meter: Meter | None
    new: bool = False

    @property
    def flow(self) -> Flow | None:
        return self.meter.flow if self.meter else None


@dataclass(frozen=True)
class Fleet:
    """One look at a service's replicas. ``meters`` are by pod, those to remember. ``unknown`` says what of replicas
    that serve is not known, and why. ``ready_s`` is when the last of them became ready. ``uncreated`` replicas are
    wanted and have no pod yet. ``left_flows`` are of replicas that leave and still get requests.
    """

    now_s: float
    current: int
    serving: tuple[Serving, ...]
    starting: tuple[Replica, ...]
    pending: tuple[Replica, ...]
    unready: tuple[Replica, ...]
    leaving: tuple[Replica, ...]
    left_flows: tuple[Flow, ...]
    meters: Mapping[str, Meter]
    unknown: tuple[str, ...]
    ready_s: float | None

    @property
    def uncreated(self) -> int:
        found = len(self.serving) + len(self.starting) + len(self.pending) + len(self.unready)
        return max(self.current - found, 0)

    @property
    def broken(self) -> tuple[Replica, ...]:
        """Replicas that exist and do not serve."""
        return tuple(each for each in self.unready if self.now_s - each.since_s >= REPLACED_AFTER_S)

    @property
    def healthy(self) -> int:
        """Replicas that serve, will soon, or may in a moment."""
        return self.current - len(self.broken)

    @property
    def on_the_way(self) -> int:
        """Replicas that are to serve soon: each is counted once, wherever it is on its way."""
        return len(self.starting) + len(self.pending) + self.uncreated

    @property
    def known(self) -> tuple[Meter, ...]:
        return tuple(each.meter for each in self.serving if each.meter is not None)

    @property
    def unmeasured(self) -> int:
        """Replicas that serve and whose part of the demand is not known."""
        return sum(each.flow is None and not each.new for each in self.serving)

    @property
    def uncounted(self) -> tuple[Meter, ...]:
        """Replicas that report, without the counters that demand is made of."""
        return tuple(meter for meter in self.known if meter.uncounted)

    @property
    def unsure(self) -> tuple[str, ...]:
        """Names of replicas that serve and may work without showing it."""
        return tuple(each.name for each in self.serving if each.meter and not each.meter.shows_idleness)

    @property
    def flows(self) -> tuple[Flow, ...]:
        """What replicas that serve did."""
        return tuple(meter.flow for meter in self.known if meter.flow is not None)

    @property
    def demanded(self) -> tuple[Flow, ...]:
        """What clients wanted: also of replicas that leave, since others have to serve it soon."""
        return (*self.flows, *self.left_flows)

    @property
    def active_s(self) -> float | None:
        """The last time that a replica showed work; None if none ever reported."""
        return max((meter.active_s for meter in self.meters.values()), default=None)


def look(observation: Observation, meters: Mapping[str, Meter]) -> Fleet:
    """The replicas, with the ``meters`` of the last look."""
    now_s = observation.now_s
    kept: dict[str, Meter] = {}
    serving = []
    unknown = []
    for replica in observation.replicas:
        meter = read(meters.get(replica.name), replica)
        if meter is not None:
            kept[replica.name] = meter
        if replica.state is not State.SERVING:
            continue
        cause = _unknown(replica, now_s)
        new = cause is not None and meter is None and now_s - replica.since_s < NEW_S
        if cause is not None and not new:
            unknown.append(cause)
        serving.append(Serving(replica.name, meter if cause is None else None, new))
    return Fleet(
        now_s=now_s,
        current=observation.current,
        serving=tuple(serving),
        starting=_in(observation, State.STARTING),
        pending=_in(observation, State.PENDING),
        unready=_in(observation, State.UNREADY),
        leaving=_in(observation, State.LEAVING),
        left_flows=tuple(_left_flows(observation, kept)),
        meters=kept,
        unknown=tuple(unknown),
        ready_s=max((replica.since_s for replica in _in(observation, State.SERVING)), default=None),
    )


def _unknown(replica: Replica, now_s: float) -> str | None:
    """Why it is not known what the replica does."""
    sample = replica.sample
    if isinstance(sample, Unknown):
        return f"{replica.name}: {sample.cause}"
    age_s = now_s - sample.time_s
    if age_s > STALE_INTERVALS * sample.interval_s:
        return f"{replica.name}: {sample.place or 'it'} has metrics that are {age_s:.0f} s old"
    return None


def _left_flows(observation: Observation, meters: Mapping[str, Meter]) -> Iterator[Flow]:
    """Of replicas that leave with requests still coming, as on a node that is announced to go; one that terminates gets
    none and ends those that it has.
    """
    for replica in _in(observation, State.LEAVING):
        meter = meters.get(replica.name)
        if meter is None or meter.flow is None or _unknown(replica, observation.now_s):
            continue
        whole = meter.sample.time_s - meter.flow.duration_s >= replica.since_s
        if whole and meter.flow.first + meter.flow.waiting_growth > 0:
            yield meter.flow


def _in(observation: Observation, state: State) -> tuple[Replica, ...]:
    return tuple(replica for replica in observation.replicas if replica.state is state)
