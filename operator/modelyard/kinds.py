"""The kinds of objects that the operator reads or writes, as the API server addresses them."""

from typing import NamedTuple

from modelyard import names


class Kind(NamedTuple):
    """A resource of the API server. ``group`` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """As in an object's ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version


INFERENCE_SERVICE = Kind(names.GROUP, names.VERSION, names.PLURAL, names.KIND)
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
SERVICE = Kind("", "v1", "services", "Service")
POD_DISRUPTION_BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
POD = Kind("", "v1", "pods", "Pod")
NODE = Kind("", "v1", "nodes", "Node")

CHILDREN = (SERVICE, POD_DISRUPTION_BUDGET, DEPLOYMENT)
"""Every kind that we may own, in the order in which they are applied."""
