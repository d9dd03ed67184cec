"""What the revisions of services were served with: read from the ConfigMaps that hold it, and from pods that told."""

from modelyard.api import kinds
from modelyard.api.service import Key, Object, Service
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import Cluster
from modelyard.controller.reconcile.ownership import Ownership, ownership
from modelyard.desired import content_pin
from modelyard.desired.resolved import Resolved
from modelyard.observe.model_status import verified_digests


class Revisions:
    """Looks into the cache first, and asks the cluster where that could be too late."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache

    async def contents(self, resolved: Resolved) -> dict[str, str]:
        """The digests of what the service's revisions were served with, by revision.key. Raises ApiError.

        Before the ConfigMap is made or added to, it is asked for now: what it holds must never change.
        """
        service = resolved.service
        place = Key(service.key.namespace, content_pin.config_map_name(service.key.name))
        cached = self._cache.get(kinds.CONFIG_MAP, place)
        pods = (*self._cache.pods(service.key), *self._cache.prefetch_pods(service.key))
        known, verified = _own(cached, service), verified_digests(pods)
        if verified.keys() <= known.keys() and (cached is not None or not content_pin.is_kept(resolved)):
            return known
        live = await self._cluster.get(kinds.CONFIG_MAP, place)
        return content_pin.with_verified(_own(live, service), verified)


def _own(config_map: Object | None, service: Service) -> dict[str, str]:
    """What ``config_map`` holds, where it is the service's own or about to become so."""
    whose = ownership(config_map, service.key.name, service.uid) if config_map else Ownership.FOREIGN
    return content_pin.contents(config_map) if whose in {Ownership.OURS, Ownership.ORPHAN} else {}
