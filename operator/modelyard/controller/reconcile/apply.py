"""The one place that writes children: carries out a plan, up to the first refusal.

Never touches what the service does not own. The plan has checked ownership; since that may be outdated, an apply to an
existing object names its uid, and an object to delete is read once more.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from modelyard.api import kinds
from modelyard.api.conditions import timestamp
from modelyard.api.service import Object, Service, key_of
from modelyard.contract import names
from modelyard.contract.errors import InvalidError, NotReadyError
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster, ConflictError, NotFoundError, RejectedError
from modelyard.controller.reconcile.decide import NOTHING, Done, Kept, ObstacleError, Plan, Write, place_of
from modelyard.controller.reconcile.drift import differing_field
from modelyard.controller.reconcile.ownership import Ownership, ownership
from modelyard.controller.reconcile.revert_limits import Reverts

TERMINATING_WAIT_S = 30.0

POD_TEMPLATE = "spec.template"

REFUSALS = frozenset({400, 403, 422, 500})
"""HTTP statuses of a write that trying again at once does not cure: the object is wrong, RBAC, quota or an admission
check forbids it, or an admission webhook fails or the cluster has no address left (500)."""

logger = logging.getLogger(__name__)


class TroubleError(ObstacleError):
    """An obstacle that may be no more than a moment's trouble of the API server."""

    after_s = 5.0


class Applier:
    """Brings a service's children in line with its plan, one after the other. Notes in ``reverts`` what it reverted,
    for the limits on that.
    """

    def __init__(self, cluster: Cluster, cache: Cache, reverts: Reverts, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._cache = cache
        self._reverts = reverts
        self._now = now

    async def apply(self, plan: Plan) -> Done:
        """Carry out the plan in its order, up to the first write or deletion that the cluster refuses.

        Raises ApiError when the API server fails; what was done until then stays done.
        """
        service = plan.observed.service
        if service is None:
            return NOTHING
        written: list[Object] = []
        try:
            for write in plan.writes:
                written += await self._apply(service, write)
            for known in plan.deletions:
                await self._prune(service, known)
        except (InvalidError, NotReadyError) as refusal:
            return Done(tuple(written), refusal)
        for deployment in plan.retries:
            written += await self._retry_refused_pods(deployment)
        return Done(tuple(written))

    async def keep(self, kept: Kept) -> bool:
        """Have the number in spec.replicas. Returns False where the cluster refuses it. Raises ApiError."""
        if kept.body["spec"]["replicas"] == kept.replicas:
            return True
        try:
            await self._cluster.scale(kept.body, kept.replicas)
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            logger.warning("the number of replicas cannot be kept", extra={"error": str(error)})
            return False
        logger.info("replicas kept", extra={"replicas": kept.replicas, "because_of": "scaling and replicas went"})
        return True

    async def _apply(self, service: Service, write: Write) -> list[Object]:
        """The object as it was written; none while a former one of its name still exists."""
        child, found = write.child, write.found
        if found is not None and write.replaces:
            if not await self._make_way(service, found):
                return []  # the watch reports when it is gone
            found = None
        try:
            applied = await self._write(child, found)
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            raise _refusal(service, child, error) from error
        self._cache.upsert(kinds.of(child), applied)
        why = "absence" if found is None else differing_field(child, found) or "what is no longer rendered"
        logger.info("child applied", extra=_about(child) | {"because_of": why})
        if write.edited:
            self._reverts.note(*place_of(child), write.edited, self._now())
        return [applied]

    async def _write(self, child: Object, found: Object | None) -> Object:
        if found is None:
            return await self._cluster.apply(child)
        same = _as_version_of(child, found)
        try:
            return await self._cluster.apply(same)
        except RejectedError:
            return await self._cluster.overwrite(same)

    async def _prune(self, service: Service, known: Object) -> None:
        live = await self._cluster.get(*place_of(known))
        if live is not None and ownership(live, service.key.name, service.uid) is Ownership.OURS:
            await self._delete(live, "no longer wanted")

    async def _delete(self, live: Object, why: str) -> None:
        """Delete the object as it is now; one that is being deleted is left alone."""
        metadata = live["metadata"]
        if "deletionTimestamp" in metadata:
            return
        try:
            await self._cluster.delete(*place_of(live), metadata["uid"], metadata["resourceVersion"])
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            raise _refused(f"the deletion of {_named(live)}", error) from error
        logger.info("child deleted", extra=_about(live) | {"because_of": why})

    async def _make_way(self, service: Service, found: Object) -> bool:
        """Delete ``found`` for its successor. Returns whether it is gone: one that a finalizer holds is gone later."""
        live = await self._cluster.get(*place_of(found))
        if live is not None and ownership(live, service.key.name, service.uid) in {Ownership.OURS, Ownership.ORPHAN}:
            await self._delete(live, "another takes its place")
            live = await self._cluster.get(*place_of(found))
        return live is None

    async def _retry_refused_pods(self, deployment: Object) -> list[Object]:
        """Make the Deployment's controllers retry the refused pods at once. Raises ApiError.

        The admission check that refuses the pods may refuse this too: the status then reports it, and a retry follows.
        """
        place, uid = key_of(deployment), deployment["metadata"]["uid"]
        retried = {names.ANNOTATION_RETRIED: timestamp(self._now())}
        try:
            written = await self._cluster.annotate(kinds.DEPLOYMENT, place, uid, retried)
        except (NotFoundError, ConflictError):
            return []  # it is gone, and the next look finds that
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            logger.warning("refused pods cannot be tried again", extra={"error": str(error)})
            return []
        self._cache.upsert(kinds.DEPLOYMENT, written)
        return [written]


def _about(child: Object) -> dict[str, str]:
    """The fields of a log line about a child."""
    return {"kind": child["kind"], "child": child["metadata"]["name"]}


def _as_version_of(child: Object, found: Object) -> Object:
    """``child`` with the uid of ``found``: the API server then refuses it for any other object of that name."""
    return {**child, "metadata": {**child["metadata"], "uid": found["metadata"]["uid"]}}


def _refusal(service: Service, child: Object, error: ApiError) -> InvalidError | NotReadyError:
    """What a refused apply means for the service. The API server applied none of it: the former object stays."""
    if error.is_of_terminating_namespace:
        message = f"Namespace {child['metadata']['namespace']} is being deleted."
        return NotReadyError("NamespaceTerminating", message, TERMINATING_WAIT_S)
    if service.spec.pod_template is not None and error.is_about(POD_TEMPLATE):
        return InvalidError(
            "PodTemplateInvalid",
            f"The API server rejected the pod template: {error.message}. "
            "Correct that field in spec.podTemplate, which is merged into the Deployment's spec.template.",
        )
    return _refused(_named(child), error)


def _refused(what: str, error: ApiError) -> ObstacleError:
    kind = TroubleError if error.status >= 500 else ObstacleError
    return kind(
        "ChildRefused",
        f"The API server rejected {what}: {error.message}. "
        "Change the spec accordingly, or contact the owner of the policy or webhook that it names.",
    )


def _named(child: Object) -> str:
    return f"{child['kind']} {child['metadata']['name']}"
