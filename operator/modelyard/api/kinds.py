"""The kinds of objects that the operator reads or writes, as the API server addresses them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from modelyard.contract import names


class Kind(NamedTuple):
    """A resource of the API server. ``group`` is empty for the core group; a cluster may lack an ``optional`` kind."""

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True
    optional: bool = False

    @property
    def api_version(self) -> str:
        """As in an object's ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version


INFERENCE_SERVICE = Kind(names.GROUP, names.VERSION, names.PLURAL, names.KIND)
SERVING_PROFILE = Kind(names.GROUP, names.VERSION, names.PROFILE_PLURAL, names.PROFILE_KIND, is_namespaced=False)
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
SERVICE = Kind("", "v1", "services", "Service")
POD_DISRUPTION_BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
JOB = Kind("batch", "v1", "jobs", "Job")
POD = Kind("", "v1", "pods", "Pod")
NAMESPACE = Kind("", "v1", "namespaces", "Namespace", is_namespaced=False)
NODE = Kind("", "v1", "nodes", "Node", is_namespaced=False)
CSI_NODE = Kind("storage.k8s.io", "v1", "csinodes", "CSINode", is_namespaced=False)
HORIZONTAL_POD_AUTOSCALER = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", optional=True)
EVENT = Kind("events.k8s.io", "v1", "events", "Event")
CORE_EVENT = Kind("", "v1", "events", "Event")
"""Events again, in the API group that can select those about one object."""
ACCESS_REVIEW = Kind(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", is_namespaced=False
)
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")

CHILDREN = (SERVICE, POD_DISRUPTION_BUDGET, NETWORK_POLICY, CONFIG_MAP, DEPLOYMENT)
"""Kinds of the children that a service keeps, in the order in which they are applied."""

OWNED = (*CHILDREN, JOB)
"""Every kind that we may own. A Job comes last, and goes when it is over."""

AUTOSCALERS = (HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT)
"""Kinds of others that scale what their spec.scaleTargetRef names."""

IMMUTABLE = frozenset({JOB})
"""Kinds of children whose pod template can never change: a child that should differ is replaced."""

WATCHED: Mapping[Kind, str] = {
    INFERENCE_SERVICE: "",
    SERVING_PROFILE: "",
    NAMESPACE: names.LABEL_PROFILE,
    **dict.fromkeys(OWNED, names.MANAGED_SELECTOR),
    POD: names.MANAGED_SELECTOR,
    NODE: "",
    **dict.fromkeys(AUTOSCALERS, ""),
    LEASE: names.CLAIM_SELECTOR,
}
"""What the operator watches, each with the label selector that limits it on the server."""

_BY_NAME = {(kind.api_version, kind.kind): kind for kind in (INFERENCE_SERVICE, *OWNED)}


def of(body: Mapping[str, Any]) -> Kind:
    """The kind of ``body``, one that we write. Raises KeyError for any other."""
    return _BY_NAME[body["apiVersion"], body["kind"]]
