"""What should exist for one service, from its spec and the context that resolves it: pure.

Gathering builds on it, since what is worth reading depends on it: which children to look for, which devices to count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from modelyard.api.kinds import Kind
from modelyard.api.service import Object, Service
from modelyard.api.settings import Settings
from modelyard.contract.errors import InvalidError
from modelyard.desired import desired, pod
from modelyard.desired.profile_defaults import ProfileLookup
from modelyard.desired.refresh import update
from modelyard.desired.resolve import resolve
from modelyard.desired.resolved import Resolved
from modelyard.desired.template_record import recorded
from modelyard.observe.target import PoolTarget, Target
from modelyard.prefetch import job as prefetch_job
from modelyard.prefetch import plan as prefetch_plan


@dataclass(frozen=True)
class SpecContext:
    """What a spec is resolved against. ``split`` are the replicas by pool, ``deployments`` what has the names of their
    Deployments, by pool; ``contents`` are the digests of what the service's revisions were served with, by
    content_pin.key, ``absent_kinds`` the optional kinds that the cluster lacks.
    """

    split: Mapping[str, int]
    deployments: Mapping[str, Object]
    profile: ProfileLookup | None
    contents: Mapping[str, str]
    prefetching: prefetch_plan.State
    absent_kinds: frozenset[Kind] = frozenset()


@dataclass(frozen=True)
class Intent:
    """What should exist: nothing for a paused service, and nothing where a ``problem`` leaves it unknown.

    ``target`` is the same as its status sees it.
    """

    children: tuple[Object, ...] = ()
    target: Target | None = None
    prefetch: prefetch_plan.Plan | None = None
    problem: InvalidError | None = None


def intent_of(service: Service, found: SpecContext, settings: Settings, now: datetime) -> Intent:
    """What should exist for ``service``. Never raises: an error in the spec becomes the intent's problem."""
    prefetch = None
    try:
        records = {pool: record for pool, body in found.deployments.items() if (record := recorded(body))}
        resolved = resolve(service, settings, records, found.profile, split=found.split)
        request = prefetch_job.request(resolved)
        if service.paused:
            return Intent()
        children = desired(replace(resolved, contents=found.contents, absent_kinds=found.absent_kinds))
        if request:
            prefetch = prefetch_plan.plan(request, found.prefetching, now)
            children += [prefetch_job.build(resolved, request, prefetch.round)] if prefetch.round else []
    except InvalidError as problem:
        return Intent(prefetch=prefetch, problem=problem)
    return Intent(tuple(children), _target(service, resolved, settings, found.profile), prefetch)


def _target(service: Service, resolved: Resolved, settings: Settings, profile: ProfileLookup | None) -> Target:
    available = update(service, resolved, settings, profile)
    return Target(
        pools={
            pool.name: PoolTarget(pod.template_hash(resolved.templates[pool.name]), pool.replicas)
            for pool in resolved.pools
        },
        devices=resolved.lead.accelerator.devices,
        effective=resolved.lead.effective(),
        refresh_changes=available.changes,
        refresh_refusal=available.refusal,
    )
