"""The Deployments that run the engine pods of a service, one for each of its pools."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired import metadata, pod, template_record
from modelyard.desired.resolved import Pool, Resolved

FETCH_ALLOWANCE_S = 1800
"""Time for the model's transfer on top of the start-up time, before a rollout is called stuck: 140 GB, a 70 B model in
16 bits, take 23 minutes at 100 MB/s. It only moves the Deployment's own condition, and nothing is undone by it."""

REVISIONS_KEPT = 3
"""Old ReplicaSets that stay for `kubectl rollout history`. The way back is the InferenceService's own file."""


def build(resolved: Resolved) -> list[Object]:
    """A Deployment for each pool."""
    return [_deployment(pool, resolved.templates[pool.name]) for pool in resolved.pools]


def _deployment(pool: Pool, template: Object) -> Object:
    """One pod more than wanted may run during a rollout and none less: a new pod must be able to answer before an old
    one goes. There is no minReadySeconds: an engine is ready only when its model is loaded and answers, and the old pod
    serves on while proxies learn of the new one.
    """
    service = pool.service
    record = template_record.Recorded(pool.inputs, pod.template_hash(template), pool.refresh, service.spec.profile)
    return metadata.child(
        kinds.DEPLOYMENT,
        pool,
        child_name=metadata.deployment_name(service.key.name, pool.name),
        annotations={names.ANNOTATION_INPUTS: template_record.annotation(record)},
        content={
            "spec": {
                "replicas": pool.replicas,
                # Explicitly unset: a rollout that `kubectl rollout pause` left paused would never end.
                "paused": None,
                "selector": {"matchLabels": metadata.pool_selector(pool)},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "progressDeadlineSeconds": pool.startup_timeout_s + FETCH_ALLOWANCE_S,
                "revisionHistoryLimit": REVISIONS_KEPT,
                "template": template,
            }
        },
    )
