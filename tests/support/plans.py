"""What is observed of a service as plain data, for tests that decide without any cluster."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from modelyard.api import kinds
from modelyard.api.service import Object, parse
from modelyard.contract import names
from modelyard.controller.reconcile.decide import Observed, place_of
from modelyard.controller.reconcile.intent import SpecContext, intent_of
from modelyard.desired.metadata import pool_of
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.facts.service import Children, facts
from modelyard.prefetch.plan import State
from tests.support.observed import NOW
from tests.support.rendering import SETTINGS


def observed(
    body: Object,
    *there: Object,
    pods: Iterable[Object] = (),
    split: Mapping[str, int] | None = None,
    now: datetime = NOW,
) -> Observed:
    """The service with ``there``, all objects that have its children's names or belong to it, and its ``pods``;
    ``split`` are its replicas by pool.
    """
    service = parse(body)
    split = split or {names.DEFAULT_POOL: service.spec.replicas}
    deployments = {
        pool_of(service.key.name, child["metadata"]["name"]): child
        for child in there
        if kinds.of(child) == kinds.DEPLOYMENT
    }
    found = SpecContext(split, deployments, None, {}, State(None, (), (), ()))
    intent = intent_of(service, found, SETTINGS, now)
    by_place = {place_of(child): child for child in there}
    return Observed(
        body=body,
        service=service,
        intent=intent,
        now=now,
        facts=facts(Children(deployments, tuple(map(pod_facts, pods))), fetch_states={}, events={}),
        existing={place_of(child): by_place.get(place_of(child)) for child in intent.children},
        related=there,
    )


def applied(children: Iterable[Object]) -> tuple[Object, ...]:
    """``children`` as the API server has them once their controllers have seen them."""
    return tuple(
        child
        | {
            "metadata": child["metadata"]
            | {"uid": f"uid-of-{child['kind']}-{child['metadata']['name']}", "generation": 1},
            "status": {"observedGeneration": 1},
        }
        for child in children
    )
