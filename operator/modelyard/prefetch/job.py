"""The Job that brings the model, and the images of its pods, to nodes ahead of the pods (docs/adr/0009-prefetching.md).

Its pods fetch as the service's pods do, and end where those would load: they request no accelerator and serve nothing.
"""

from copy import deepcopy

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.desired import metadata, node_affinity, pod
from modelyard.desired.resolved import Pool, Resolved
from modelyard.prefetch.round import Request, Round

RETRIES = 2**31 - 1
"""A Job counts each restart of a container. The fetcher gives up no sooner here than in the service's pods."""

POD_FIELDS = (
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases",
    "hostUsers",
    "imagePullSecrets",
    "nodeSelector",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccountName",
    "tolerations",
)
"""What a pod of the Job has from the service's pods, so that it runs where they can and reaches what they reach.

Not their priority, which would have others evicted for the mere chance of a faster start, nor claims for devices, nor
their affinity to each other.
"""

ENGINE_FIELDS = ("name", "image", "imagePullPolicy", "securityContext")
"""What the container with the engine's image has from the service's."""

SMALL: Object = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
"""For a Python that ends at once. With limits, since a quota may require them."""

ENDS_AT_ONCE = ["python3", "-S", "-c", "pass"]
"""Every engine's image has python3. Without its site packages (-S), which may load much as they are found."""


def request(resolved: Resolved) -> Request | None:
    """What the service requests; None for nothing.

    Raises InvalidError (InvalidSpec) where its pods keep the model to themselves.
    """
    pool, cache = resolved.lead, resolved.service.spec.cache
    if not cache.prefetches:
        return None
    if not pool.is_node_local:
        raise InvalidError(
            "InvalidSpec",
            "spec.cache.prefetch and spec.cache.prefetchNodeSelector require the nodes' cache, which this service's "
            f"pods do not use: set spec.cache.medium to {names.MEDIUM_NODE_LOCAL}, which replaces the pods, or remove "
            "both.",
        )
    template = resolved.templates[pool.name]
    pods = _pods(pool, template)
    what = {"pods": pods, "count": cache.prefetch, "selector": cache.prefetch_node_selector}
    return Request(
        fingerprint=metadata.fingerprint(what),
        count=cache.prefetch,
        selector=cache.prefetch_node_selector,
        pod=pods,
        devices=pool.accelerator.devices,
        template=pod.template_hash(template),
        model_label=pod.model_label(pool),
    )


def build(resolved: Resolved, request: Request, round_: Round) -> Object:
    """The Job of this round. It has no ttlSecondsAfterFinished: finished, it is what the operator remembers by."""
    template = deepcopy(request.pod)
    on_hosts = {"key": names.LABEL_HOSTNAME, "operator": "In", "values": list(round_.hosts)}
    node_affinity.require(template["spec"], on_hosts)
    return metadata.child(
        kinds.JOB,
        resolved.lead,
        component=names.COMPONENT_PREFETCH,
        annotations={names.ANNOTATION_ROUND: round_.model_dump_json()},
        content={
            "spec": {
                # All at once: the scheduler would give a node whose pod is over to one that comes later.
                "completions": round_.count,
                "parallelism": round_.count,
                "backoffLimit": RETRIES,
                "template": template,
            }
        },
    )


def _pods(pool: Pool, template: Object) -> Object:
    """The template of the Job's pods, on whichever nodes, from the ``template`` of the service's."""
    about, spec = template["metadata"], template["spec"]
    fetch = _without_compile_cache(_named(spec["initContainers"], names.CONTAINER_FETCH))
    engine = _named(spec["containers"], names.CONTAINER_ENGINE)
    mounted = {mount["name"] for mount in fetch["volumeMounts"]}
    of_the_engine = {names.ANNOTATION_TEMPLATE, names.ANNOTATION_MODELS}
    return {
        "metadata": {
            "labels": {**about["labels"], names.LABEL_APP_COMPONENT: names.COMPONENT_PREFETCH},
            "annotations": {key: value for key, value in about["annotations"].items() if key not in of_the_engine},
        },
        "spec": {
            **{field: spec[field] for field in POD_FIELDS if field in spec},
            "restartPolicy": "OnFailure",
            "initContainers": [fetch],
            "containers": [
                {field: engine[field] for field in ENGINE_FIELDS if field in engine}
                | {"command": ENDS_AT_ONCE, "resources": SMALL}
            ],
            "volumes": [volume for volume in spec["volumes"] if volume["name"] in mounted],
            "affinity": _affinity(pool, node_affinity.required(spec)),
        },
    }


def _named(containers: list[Object], name: str) -> Object:
    return next(container for container in containers if container["name"] == name)


def _without_compile_cache(fetch: Object) -> Object:
    """An engine that does not run compiles nothing; and its flags, which the key follows, change nothing here."""
    return fetch | {"env": [entry for entry in fetch["env"] if entry["name"] != names.ENV_COMPILE_KEY]}


def _affinity(pool: Pool, nodes: Object) -> Object:
    """One pod per node, on ``nodes`` that the service's pods accept, rather on those that have the model already."""
    prefetching = {**metadata.service_selector(pool.service), names.LABEL_APP_COMPONENT: names.COMPONENT_PREFETCH}
    has_model = {"key": pod.model_label(pool), "operator": "Exists"}
    return {
        "nodeAffinity": {
            **({node_affinity.REQUIRED: nodes} if nodes else {}),
            node_affinity.PREFERRED: [{"weight": 100, "preference": {"matchExpressions": [has_model]}}],
        },
        "podAntiAffinity": {
            node_affinity.REQUIRED: [
                {"topologyKey": names.LABEL_HOSTNAME, "labelSelector": {"matchLabels": prefetching}}
            ]
        },
    }
