"""What happens for one service, from its object to its status: the table of contents of the operator.

Level-triggered: each call starts from what exists and brings it nearer to the spec, so it may run at any time, any
number of times, and be cancelled anywhere.
"""

from collections.abc import Callable
from datetime import datetime

from modelyard.api.service import Key
from modelyard.api.settings import Settings
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import Cluster
from modelyard.controller.reconcile.apply import Applier
from modelyard.controller.reconcile.decide import decide
from modelyard.controller.reconcile.gather import (
    Gatherer,
    ReadFetchState,
    ReadIndex,
    ReadScalingReport,
    ReadVersion,
)
from modelyard.controller.reconcile.report import OUTDATED_WAIT_S, Reporter
from modelyard.controller.reconcile.revert_limits import Reverts


class Reconciler:
    """Reconciles one key at a time; several calls may run side by side as long as their keys differ.

    ``read_fetch_state`` takes the address of a pod with a fetcher; ``read_index`` and ``read_version`` take the address
    with port of a pod's model repository and of its engine. ``scaling_report`` gives the last scaling
    decision for a service. ``now`` gives the time in UTC, ``instance`` names this process in the events it
    writes.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        cache: Cache,
        *,
        read_fetch_state: ReadFetchState,
        read_index: ReadIndex,
        read_version: ReadVersion,
        scaling_report: ReadScalingReport,
        now: Callable[[], datetime],
        instance: str,
    ) -> None:
        reverts = Reverts()
        self._gatherer = Gatherer(
            settings,
            cluster,
            cache,
            reverts,
            read_fetch_state=read_fetch_state,
            read_index=read_index,
            read_version=read_version,
            scaling_report=scaling_report,
            now=now,
        )
        self._applier = Applier(cluster, cache, reverts, now)
        self._reporter = Reporter(cluster, cache, now, instance)

    async def reconcile(self, key: Key) -> float | None:
        """Bring the service ``key`` nearer to its spec, and report the progress in its status.

        Returns in how many seconds to look again without a watch event, None if there is no need.
        Raises ApiError when the API server fails; the caller tries again later.
        """
        observed = await self._gatherer.gather(key)
        if observed is None:
            return None  # deleted: the garbage collector follows the children's owner references
        if observed.kept and await self._applier.keep(observed.kept):
            return OUTDATED_WAIT_S  # the watch mostly reports the number sooner
        plan = decide(observed)
        done = await self._applier.apply(plan)
        return await self._reporter.report(plan, done)
