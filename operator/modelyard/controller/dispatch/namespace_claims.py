"""Which namespaces this installation writes to: no object has two writers where several installations share a cluster.

An installation that is limited to namespaces claims each by a Lease there. The Lease has no expiry: only an admin
removes it. An installation for the whole cluster leaves claimed namespaces alone, also while the claimant is down.
"""

from collections.abc import Callable
from datetime import datetime

from modelyard.api import kinds
from modelyard.api.scope import Scope
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ConflictError, Leases, NotFoundError


class ClaimError(Exception):
    """A namespace of this installation cannot be claimed; the message has the remedy."""


class Claims:
    """The claims that ``cache`` knows of, as ``installation`` sees them, which works in ``scope``.

    A new claim counts after ``settle_s``: until then it may not have reached an installation for the whole cluster.
    ``now`` gives the time in UTC.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        installation: str,
        scope: Scope,
        settle_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._installation = installation
        self._scope = scope
        self._settle_s = settle_s
        self._now = now

    async def take(self, leases: Leases) -> None:
        """Claim every namespace of ours. Raises ClaimError when one is another installation's or missing; ApiError."""
        for namespace in sorted(self._scope.namespaces):
            holder = await self._claimed(leases, namespace)
            if holder != self._installation:
                raise ClaimError(
                    f"namespace {namespace} is claimed by the installation {holder}. Take it out of the setting "
                    f"namespaces, or, once that installation is gone for good: "
                    f"kubectl -n {namespace} delete lease {names.CLAIM_LEASE}"
                )

    def wait_s(self, namespace: str) -> float | None:
        """In how many seconds this installation may write there: 0 at once, None not at all."""
        claim = self._cache.get(kinds.LEASE, Key(namespace, names.CLAIM_LEASE))
        if claim is None:
            return 0 if self._scope.is_cluster else None
        if namespace not in self._scope.namespaces or holder_of(claim) != self._installation:
            return None
        since = datetime.fromisoformat(claim["metadata"]["creationTimestamp"])
        return max(0.0, self._settle_s - (self._now() - since).total_seconds())

    async def _claimed(self, leases: Leases, namespace: str) -> str:
        """The installation that holds the namespace: ours, if it was free."""
        place = Key(namespace, names.CLAIM_LEASE)
        if lease := await leases.get(kinds.LEASE, place):
            return holder_of(lease)
        try:
            return holder_of(await leases.create_lease(_claim(place, self._installation)))
        except NotFoundError as error:
            raise ClaimError(f"namespace {namespace}, which the setting namespaces names, does not exist.") from error
        except ConflictError:
            return holder_of(await leases.get(kinds.LEASE, place) or {})


def holder_of(claim: Object) -> str:
    """The installation that holds a claim."""
    return str((claim.get("spec") or {}).get("holderIdentity") or "")


def _claim(place: Key, installation: str) -> Object:
    return {
        "apiVersion": kinds.LEASE.api_version,
        "kind": kinds.LEASE.kind,
        "metadata": {
            "name": place.name,
            "namespace": place.namespace,
            "labels": {names.LABEL_CLAIM: names.CLAIM, names.LABEL_APP_MANAGED_BY: names.APPLICATION},
        },
        "spec": {"holderIdentity": installation},
    }
