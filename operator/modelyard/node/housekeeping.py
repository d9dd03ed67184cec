"""What comes round every few minutes: links and mounts of pods that are gone, namespaces that are gone, leftovers."""

import contextlib
import logging
import time
from collections.abc import Callable

from modelyard.node.cache.metrics import Metrics
from modelyard.node.cache.namespace_folders import Parts
from modelyard.node.cache.node_cache import NodeCache
from modelyard.node.csi.volumes import Volumes
from modelyard.node.host.api_server import UnreachableError
from modelyard.node.host.cluster import Namespaces, OwnNode
from modelyard.node.host.mounts import Published

_log = logging.getLogger("modelyard.node")


class Housekeeping:
    """Cleans up what no call of the kubelet or of a pod cleans up.

    ``forget`` is called with each namespace (UID) whose part was removed.
    """

    def __init__(
        self,
        *,
        cache: NodeCache,
        parts: Parts,
        volumes: Volumes,
        namespaces: Namespaces,
        node: OwnNode,
        metrics: Metrics,
        forget: Callable[[str], None],
        leftover_age_s: float,
    ) -> None:
        self._cache = cache
        self._parts = parts
        self._volumes = volumes
        self._namespaces = namespaces
        self._node = node
        self._metrics = metrics
        self._forget = forget
        self._leftover_age_s = leftover_age_s
        self._unknown: frozenset[Published] = frozenset()

    def tidy(self) -> None:
        """One round. Raises UnreachableError, PathMissingError: nothing was removed on a mere suspicion."""
        living = self._node.pods()
        self._unpublish_stale(living)
        for uid, name in self._parts.names().items():
            if self._is_gone(uid, name):
                self._forget(uid)
                self._cache.remove_namespace(uid)
                _log.info("removed what the namespace %s (%s) had: it is gone", name, uid)
            else:
                for path in self._cache.remove_leftovers(uid, living, time.time(), self._leftover_age_s):
                    _log.info("removed the leftover %a of namespace %s", path, name or uid)
                    self._metrics.tidied()

    def _is_gone(self, uid: str, name: str) -> bool:
        """A part whose namespace's name is unknown stays: the API server cannot be queried for it."""
        return bool(name) and not self._volumes.seen().pods_of(uid) and self._namespaces.is_gone(name, uid)

    def _unpublish_stale(self, living: frozenset[str]) -> None:
        """Ends volumes of pods that the API server has not listed for two rounds: nothing else ends them."""
        unknown = frozenset(each for each in self._volumes.seen().published if each.target.pod_uid not in living)
        for published in unknown & self._unknown:
            with contextlib.suppress(UnreachableError):
                self._volumes.unpublish(published.target)
                _log.warning("ended the volume of pod %s, which is gone", published.target.pod_uid)
        self._unknown = unknown
