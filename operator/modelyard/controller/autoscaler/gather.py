"""What the cache holds of a service that is to be scaled."""

from modelyard.api import kinds
from modelyard.api.conditions import ConditionType
from modelyard.api.service import Key, Object, Service, parse
from modelyard.api.settings import Settings
from modelyard.contract.errors import InvalidError, Refusal
from modelyard.controller.autoscaler.observation import Seen
from modelyard.controller.cluster.cache import Cache
from modelyard.desired.metadata import deployment_name
from modelyard.desired.replicas import check_scaling, effective_replicas, pools
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.facts.raw_object import entry, number, text
from modelyard.observe.facts.service import deployment_facts

CHILD_REFUSED: Refusal = "ChildRefused"


def seen_of(body: Object, cache: Cache, settings: Settings) -> Seen | None:
    """All of the service in ``body``; None where nothing is to be decided for it: without scaling, while it is paused
    or its spec is refused, and before it has a Deployment, without which nothing can follow a decision.
    """
    if (body.get("spec") or {}).get("scaling") is None:
        return None
    try:
        service = parse(body)
        check_scaling(service.spec, settings)
    except InvalidError:
        return None  # the reconcile reports it
    deployments = _deployments(service, cache)
    if service.paused or service.deleting or _is_refused(service) or not deployments:
        return None
    pods = tuple((raw, pod_facts(raw)) for raw in cache.pods(service.key))
    hosts = {pod.node for _, pod in pods if pod.node} if cache.all_of(kinds.NODE) else set()
    running = sum(deployment_facts(deployment).replicas for deployment in deployments)
    return Seen(
        service=service,
        body=body,
        pods=pods,
        deployments=deployments,
        nodes={node: cache.get(kinds.NODE, Key("", node)) for node in hosts},
        replicas=effective_replicas(service, running),
        running=running,
        startup_timeout_s=number(service.status, "effective", "startupTimeoutSeconds")
        or service.spec.startup.timeout_seconds
        or settings.startup_timeout_s,
    )


def _is_refused(service: Service) -> bool:
    """Whether the reconcile refuses this very spec, so that no decision could reach the Deployments. What only the API
    server refuses, such as more replicas than a policy allows, is no such case: another number may pass.
    """
    accepted = entry(service.status, "conditions", type=str(ConditionType.ACCEPTED))
    is_of_this = number(accepted, "observedGeneration") == service.generation
    return is_of_this and text(accepted, "status") == "False" and text(accepted, "reason") != CHILD_REFUSED


def _deployments(service: Service, cache: Cache) -> tuple[Object, ...]:
    key = service.key
    places = (Key(key.namespace, deployment_name(key.name, pool)) for pool in pools(service))
    return tuple(found for place in places if (found := cache.get(kinds.DEPLOYMENT, place)))
