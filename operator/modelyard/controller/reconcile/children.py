"""The one place that writes children: applies those that differ, prunes those that are no longer wanted.

One that can never change is deleted and made anew.

Never touches what is not the service's own. An apply cannot be limited to creation, so an object that the cache does
not know is looked at first; and what is to be deleted is looked at once more, since the cache may be late.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from modelyard.api import kinds
from modelyard.api.conditions import timestamp
from modelyard.api.kinds import Kind
from modelyard.api.service import Key, Object, Service, key_of
from modelyard.contract import names
from modelyard.contract.errors import InvalidError, NotReadyError
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster, ConflictError, NotFoundError, RejectedError
from modelyard.controller.reconcile.drift import differing_field, edited_field, is_as_rendered
from modelyard.controller.reconcile.ownership import Ownership, ownership
from modelyard.controller.reconcile.repair_limits import PACE, Repairs

PREDECESSOR_WAIT_S = 2.0
"""Time until another look at a child that the garbage collector is about to remove; it mostly takes less than one."""

TERMINATING_WAIT_S = 30.0

POD_TEMPLATE = "spec.template"

REFUSALS = frozenset({400, 403, 422, 500})
"""HTTP statuses of a write that trying again at once does not cure: the object is wrong, RBAC, quota or an admission
check forbids it, or an admission webhook fails or the cluster has no address left (500)."""

logger = logging.getLogger(__name__)


class ObstacleError(InvalidError):
    """The user must act, but outside the spec, where no watch of ours sees it: look again in ``after_s`` seconds."""

    after_s = 30.0


class TroubleError(ObstacleError):
    """An obstacle that may be no more than a moment's trouble of the API server."""

    after_s = 5.0


@dataclass(frozen=True)
class Adopted:
    """A child without owner that was made the service's own."""

    kind: str
    name: str


@dataclass(frozen=True)
class Repaired:
    """A child whose ``field`` somebody else had changed, and that was set back."""

    kind: str
    name: str
    field: str


@dataclass(frozen=True)
class Contested:
    """A child whose ``field`` somebody else changes again and again; in ``look_again_s`` there is more to do."""

    kind: str
    name: str
    field: str
    look_again_s: float


DoneByOthers = Adopted | Repaired | Contested


class Children:
    """Brings the children of one service after the other in line with what is wanted."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache
        self._repairs = Repairs()

    async def existing(self, kind: Kind, place: Key) -> Object | None:
        """What has the name of a child, whoever owns it: as last observed, or, if nothing was, as it is now."""
        return self._cache.get(kind, place) or await self._cluster.get(kind, place)

    async def bring_about(
        self, service: Service, wanted: Sequence[Object], deployment: Object | None, now: datetime
    ) -> tuple[DoneByOthers, ...]:
        """Make the service's children those in ``wanted``, in that order. Returns what others had done to them.

        A child that is contested may be left as it is for now. ``deployment`` is what has the Deployment's name
        already. Raises ObstacleError before the first write when a name is taken, and at the write or the deletion that
        the cluster refuses; NotReadyError when a child of a deleted predecessor must go first or the namespace is
        going; ApiError.
        """
        pairs = [
            (child, deployment if kinds.of(child) == kinds.DEPLOYMENT else await self.existing(*_place(child)))
            for child in wanted
        ]
        for _, found in pairs:
            if found is not None:
                _check_ownership(found, service)
        differing = [(child, found) for child, found in pairs if found is None or not is_as_rendered(child, found)]
        done_by_others = tuple(
            done for child, found in differing if found is not None and (done := _done_to(child, found, service))
        )
        for child, found in differing:
            await self._apply_unless_contested(service, child, found, now)
        await self._prune(service, {_place(child) for child in wanted})
        contested = tuple(filter(None, (self._contested(child, now) for child in wanted)))
        told = {(each.kind, each.name) for each in contested}
        return (*contested, *(each for each in done_by_others if (each.kind, each.name) not in told))

    async def _apply_unless_contested(
        self, service: Service, child: Object, found: Object | None, now: datetime
    ) -> None:
        edited = edited_field(child, found) if found else None
        if edited and self._repairs.wait(*_place(child), now):
            return
        if found and not edited and kinds.of(child) in kinds.IMMUTABLE:
            if not await self._make_way(service, found):
                return  # the watch tells when it is gone
            found = None
        await self._apply(service, child, found)
        if edited:
            self._repairs.made(*_place(child), edited, now)

    def _contested(self, child: Object, now: datetime) -> Contested | None:
        place = _place(child)
        field = self._repairs.contested_field(*place, now)
        if not field:
            return None
        again = self._repairs.wait(*place, now) or PACE
        return Contested(child["kind"], child["metadata"]["name"], field, again.total_seconds())

    async def retry_refused_pods(self, deployment: Object, now: datetime) -> None:
        """Have the Deployment's controllers try again to make the pods that they are refused. Raises ApiError.

        Whoever refuses the pods may refuse this too. They are then told as refused, and tried when that is over.
        """
        place, uid = key_of(deployment), deployment["metadata"]["uid"]
        retried = {names.ANNOTATION_RETRIED: timestamp(now)}
        try:
            written = await self._cluster.annotate(kinds.DEPLOYMENT, place, uid, retried)
        except (NotFoundError, ConflictError):
            return  # it is gone, and the next look finds that
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            logger.warning("refused pods cannot be tried again", extra={"error": str(error)})
            return
        self._cache.upsert(kinds.DEPLOYMENT, written)

    async def _apply(self, service: Service, child: Object, found: Object | None) -> None:
        try:
            applied = await self._write(child, found)
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            raise _refusal(service, child, error) from error
        self._cache.upsert(kinds.of(child), applied)
        why = "absence" if found is None else differing_field(child, found) or "what is no longer rendered"
        logger.info("child applied", extra=_about(child) | {"because_of": why})

    async def _write(self, child: Object, found: Object | None) -> Object:
        if found is None:
            return await self._cluster.apply(child)
        same = _as_version_of(child, found)
        try:
            return await self._cluster.apply(same)
        except RejectedError:
            return await self._cluster.overwrite(same)

    async def _prune(self, service: Service, wanted: set[tuple[Kind, Key]]) -> None:
        for kind, known in self._cache.children(service.key):
            place = key_of(known)
            if (kind, place) in wanted or ownership(known, *_identity(service)) is not Ownership.OURS:
                continue
            live = await self._cluster.get(kind, place)
            if live is not None and ownership(live, *_identity(service)) is Ownership.OURS:
                await self._delete(live, "no longer wanted")

    async def _delete(self, live: Object, why: str) -> None:
        """Delete the object as it is now; one that goes already is left to go."""
        metadata = live["metadata"]
        if "deletionTimestamp" in metadata:
            return
        try:
            await self._cluster.delete(*_place(live), metadata["uid"], metadata["resourceVersion"])
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            raise _refused(f"the deletion of {_named(live)}", error) from error
        logger.info("child deleted", extra=_about(live) | {"because_of": why})

    async def _make_way(self, service: Service, found: Object) -> bool:
        """Delete ``found`` for its successor. Returns whether it is gone: one that a finalizer holds goes later."""
        live = await self._cluster.get(*_place(found))
        if live is not None and ownership(live, *_identity(service)) in {Ownership.OURS, Ownership.ORPHAN}:
            await self._delete(live, "another takes its place")
            live = await self._cluster.get(*_place(found))
        return live is None


def _place(child: Object) -> tuple[Kind, Key]:
    return kinds.of(child), key_of(child)


def _about(child: Object) -> dict[str, str]:
    """What a log line says of a child."""
    return {"kind": child["kind"], "child": child["metadata"]["name"]}


def _identity(service: Service) -> tuple[str, str]:
    return service.key.name, service.uid


def _as_version_of(child: Object, found: Object) -> Object:
    """``child`` with the uid of ``found``: the API server then refuses it for any other object of that name."""
    return {**child, "metadata": {**child["metadata"], "uid": found["metadata"]["uid"]}}


def _check_ownership(found: Object, service: Service) -> None:
    """Raises ObstacleError or NotReadyError if the service may not write ``found``."""
    whose = ownership(found, *_identity(service))
    what = _named(found)
    if whose is Ownership.FOREIGN:
        raise ObstacleError(
            "NameTaken",
            f"{what} already exists in namespace {service.key.namespace} and is owned by something else; modelyard "
            "will not touch it. Delete or rename it, or rename the InferenceService.",
        )
    if whose is Ownership.PREVIOUS:
        raise NotReadyError(
            "PredecessorGoing",
            f"{what} of a deleted InferenceService with the same name is about to be removed. If it stays, check its "
            f"finalizers: kubectl -n {service.key.namespace} get {found['kind'].lower()} {found['metadata']['name']} "
            "-o yaml.",
            PREDECESSOR_WAIT_S,
        )


def _done_to(child: Object, found: Object, service: Service) -> Adopted | Repaired | None:
    """What somebody else did to ``found``, which is to become ``child``."""
    if ownership(found, *_identity(service)) is Ownership.ORPHAN:
        return Adopted(found["kind"], found["metadata"]["name"])
    field = edited_field(child, found)
    return Repaired(found["kind"], found["metadata"]["name"], field) if field else None


def _refusal(service: Service, child: Object, error: ApiError) -> InvalidError | NotReadyError:
    """What a refused apply means for the service. The API server took none of it: what was there goes on."""
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
