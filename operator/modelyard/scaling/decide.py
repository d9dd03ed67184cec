"""How many replicas a service should have: the decision, as a pure function of what is seen and remembered."""

from dataclasses import replace

from modelyard.api.scaling import Scaling
from modelyard.scaling import demand_need, stabilization, targets
from modelyard.scaling.bounds import bound, bounds
from modelyard.scaling.decision import Change, Decision
from modelyard.scaling.demand_need import Learnt
from modelyard.scaling.explain import message, unknown_causes
from modelyard.scaling.fleet import Fleet, look
from modelyard.scaling.follow import follow, replaced
from modelyard.scaling.idle import Life, at_zero, rest
from modelyard.scaling.limits import DEFAULT_FIRST_TOKEN_S, DEFAULT_OUTPUT_TOKEN_S, Objective
from modelyard.scaling.memory import Memory
from modelyard.scaling.need import Need
from modelyard.scaling.observation import Observation
from modelyard.scaling.past import Past
from modelyard.scaling.proposal import Proposal
from modelyard.scaling.stabilization import Recommendation
from modelyard.scaling.victims import idlest

TICK_S = 15.0
"""One that is not started at this decision is started at the next: so much later."""

LONGEST_COLD_START_S = 86_400.0
"""Expected at most, whatever was reported."""

NEVER_S = 0.0
"""The last wake of a service that is known to have had none."""

PROPOSED_FOR_S = 60.0
"""How long a change that was decided may take to be seen."""


def decide(scaling: Scaling, memory: Memory, observation: Observation) -> tuple[Decision, Memory]:
    """The number of replicas to run now, and what to remember.

    ``desired`` counts replicas that stay: those that leave are gone, and their Deployment replaces them. Bounds come
    last, whatever is known. ``mode: Recommend`` is the caller's concern.
    """
    memory = memory.seen(observation)
    fleet = look(observation, memory.meters)
    try:
        need, memory = _need(scaling, memory, observation, fleet)
    except (ArithmeticError, ValueError) as error:  # a defect, and bounds hold all the same
        need, memory = _failed(error), memory.unlearnt(fleet.meters)
    memory = _lived(memory, observation, fleet)
    memory = _recommended(memory, scaling, need, fleet)
    past = Past(memory.recommendations[:-1], memory.changes, memory.complete_since_s)
    life = _life(memory, observation, past)
    if observation.current == 0:
        proposal = at_zero(scaling, life, observation.now_s)
    else:
        proposal = follow(scaling, need, fleet, observation.capacity, past)
        proposal = rest(scaling, fleet, life, proposal)
    limits = bounds(scaling, fleet, observation.capacity, _cold_start_s(observation) + TICK_S)
    proposal = bound(proposal, limits, scaling, fleet, past)
    decision = Decision(
        desired=proposal.replicas,
        wanted=_wanted(need, fleet),
        reason=proposal.reason,
        message=message(scaling, proposal, fleet, need),
        inputs=need.inputs,
        unknown=unknown_causes(scaling, fleet, need),
        idlest=idlest(fleet),
    )
    return decision, _decided(memory, observation, proposal)


def _need(scaling: Scaling, memory: Memory, observation: Observation, fleet: Fleet) -> tuple[Need, Memory]:
    horizon_s = _cold_start_s(observation) + TICK_S
    before = Learnt(memory.speed, memory.carried, memory.traffic, memory.forecasts)
    memory = replace(memory, meters=fleet.meters)
    if scaling.targets is not None and targets.targets_of(scaling.targets):
        return targets.need(scaling.targets, fleet), memory
    learnt, forecast = demand_need.learn(before, fleet, _objective(scaling), horizon_s)
    memory = replace(
        memory,
        speed=learnt.speed,
        carried=learnt.carried,
        traffic=learnt.traffic,
        forecasts=learnt.forecasts,
    )
    return demand_need.need(learnt, forecast, fleet, _objective(scaling), horizon_s), memory


def _failed(error: Exception) -> Need:
    return Need(None, None, f"What is needed could not be computed ({error}), so what was learnt was dropped.")


def _objective(scaling: Scaling) -> Objective:
    first = scaling.objective.time_to_first_token_milliseconds if scaling.objective else None
    output = scaling.objective.time_per_output_token_milliseconds if scaling.objective else None
    return Objective(
        first / 1000 if first is not None else DEFAULT_FIRST_TOKEN_S,
        output / 1000 if output is not None else DEFAULT_OUTPUT_TOKEN_S,
    )


def _cold_start_s(observation: Observation) -> float:
    expected_s = observation.cold_start.expected_s if observation.cold_start else demand_need.COLD_START_S
    return min(max(0.0, expected_s), LONGEST_COLD_START_S)


def _lived(memory: Memory, observation: Observation, fleet: Fleet) -> Memory:
    active = [time_s for time_s in (memory.active_s, fleet.active_s) if time_s is not None]
    return replace(
        memory,
        active_s=max(active, default=None),
        served_s=observation.now_s if fleet.serving else memory.served_s,
        woken_s=(observation.woken_s or memory.woken_s or NEVER_S) if observation.current > 0 else memory.woken_s,
    )


def _life(memory: Memory, observation: Observation, past: Past) -> Life:
    assert memory.started_s is not None
    return Life(
        past=past,
        started_s=memory.started_s,
        active_s=memory.active_s,
        served_s=memory.served_s,
        woken_s=observation.woken_s,
        taken_s=memory.woken_s,
    )


def _recommended(memory: Memory, scaling: Scaling, need: Need, fleet: Fleet) -> Memory:
    """While nothing is known, and at first, what runs counts as what was needed."""
    held = need.down if need.held is None else need.held
    up = down = fleet.current
    if need.up is not None and held is not None:
        more = replaced(fleet, need.up)
        up, down = need.up + more, held + more
    past = memory.recommendations or (Recommendation(fleet.now_s - 1e-3, fleet.current, fleet.current),)
    window_s = max(stabilization.up_window_s(scaling.scale_up), stabilization.down_window_s(scaling.scale_down))
    new = Recommendation(fleet.now_s, up, down)
    return replace(memory, recommendations=stabilization.kept(past, new, window_s))


def _wanted(need: Need, fleet: Fleet) -> int:
    if need.up is None or need.down is None:
        return fleet.current
    return max(need.up, min(need.down, fleet.healthy)) + replaced(fleet, need.up)


def _decided(memory: Memory, observation: Observation, proposal: Proposal) -> Memory:
    now_s, current = observation.now_s, observation.current
    proposed = memory.proposed
    if proposal.replicas != current:
        proposed = Change(now_s, current, proposal.replicas, proposal.reason)
    elif proposed is not None and now_s - proposed.time_s > PROPOSED_FOR_S:
        proposed = None
    return replace(memory, proposed=proposed)
