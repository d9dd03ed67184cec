"""Which pods to stop first."""

from modelyard.scaling.fleet import Fleet, Serving


def idlest(fleet: Fleet) -> tuple[str, ...]:
    """Names of the pods, the least busy first.

    A ReplicaSet deletes pods without a node first, then pending ones, then those that are not ready, and only then
    looks at their deletion cost; the order here is the same, so what is written never contradicts what happens.
    """
    waiting = [*fleet.pending, *fleet.starting, *fleet.unready]
    names = [replica.name for replica in waiting]
    return (*names, *(each.name for each in sorted(fleet.serving, key=_work)))


def _work(each: Serving) -> tuple[float, float, str]:
    """Requests in hand, then the cache in use. What is not known counts as busiest: it may carry anything."""
    if each.meter is None:
        return (0.0 if each.new else float("inf"), 0.0, each.name)
    meter = each.meter
    in_hand = (meter.running or 0.0) + (meter.waiting or 0.0)
    return (in_hand, meter.kv_usage or 0.0, each.name)
