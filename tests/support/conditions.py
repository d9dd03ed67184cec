"""What the cluster in memory holds of a service's status."""

from modelyard.api.kinds import INFERENCE_SERVICE, Kind
from modelyard.api.service import Key, Object
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.inference_services import child_name

KEY = Key("team-a", "smollm")
"""The service that tests speak of when they name none."""


def place_of_child(kind: Kind, key: Key = KEY) -> Key:
    """Where the service's child of that kind is."""
    return Key(key.namespace, child_name(kind, key.name))


def condition(cluster: InMemoryCluster, type_: str, key: Key = KEY) -> Object:
    """The service's condition of that type, which must be there."""
    service = cluster.see(INFERENCE_SERVICE, key)
    assert service is not None
    found: Object = next(found for found in service["status"]["conditions"] if found["type"] == type_)
    return found
