"""The Deployment that runs the engine pods of a service."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired import metadata, pod, template_record
from modelyard.desired.resolved import Resolved

FETCH_ALLOWANCE_S = 1800
"""Time for the model's transfer on top of the start-up time, before a rollout is called stuck: 140 GB, a 70 B model in
16 bits, take 23 minutes at 100 MB/s. It only moves the Deployment's own condition, and nothing is undone by it."""

REVISIONS_KEPT = 3
"""Old ReplicaSets that stay for `kubectl rollout history`. The way back is the InferenceService's own file."""


def build(resolved: Resolved) -> list[Object]:
    """The Deployment.

    One pod more than wanted may run during a rollout and none less: a new pod must be able to answer before an old one
    goes. There is no minReadySeconds: an engine is ready only when its model is loaded and answers, and the old pod
    serves on while proxies learn of the new one.
    """
    template = pod.template(resolved)
    record = template_record.Recorded(
        resolved.inputs, pod.template_hash(template), resolved.refresh, resolved.service.spec.profile
    )
    return [
        metadata.child(
            kinds.DEPLOYMENT,
            resolved,
            annotations={names.ANNOTATION_INPUTS: template_record.annotation(record)},
            content={
                "spec": {
                    "replicas": resolved.replicas,
                    # Said to be unset: a rollout that `kubectl rollout pause` left paused would never come to its end.
                    "paused": None,
                    "selector": {"matchLabels": metadata.pool_selector(resolved)},
                    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                    "progressDeadlineSeconds": resolved.startup_timeout_s + FETCH_ALLOWANCE_S,
                    "revisionHistoryLimit": REVISIONS_KEPT,
                    "template": template,
                }
            },
        )
    ]
