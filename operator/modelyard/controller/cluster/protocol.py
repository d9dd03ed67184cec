"""The part of the API server that the operator uses: its calls and their errors.

Objects go in and out as the API server's own JSON; typed models cost ten times the CPU and three times the memory
(measured on kubernetes 37).
"""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol

from modelyard.api.kinds import Kind
from modelyard.api.service import Key, Object


class ApiError(Exception):
    """A call that failed.

    ``status`` is HTTP's, or 0 when no answer came; ``reason`` and ``message`` are the API server's own, ``causes`` the
    reasons and fields of its details; ``retry_after_s`` is the wait that it requests (429, 503), 0 without one;
    ``call`` is the method and path.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        causes: frozenset[str] = frozenset(),
        retry_after_s: float = 0,
        call: str = "",
    ) -> None:
        super().__init__(f"{call}: {reason} ({status}): {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes
        self.retry_after_s = retry_after_s

    @property
    def is_passing(self) -> bool:
        """Whether the API server, or the way to it, is in trouble rather than the call wrong."""
        return self.status in {0, 429} or self.status >= 500

    @property
    def is_of_terminating_namespace(self) -> bool:
        """Whether nothing can be created any more because the namespace is being deleted."""
        return "NamespaceTerminating" in self.causes

    def is_about(self, path: str) -> bool:
        """Whether it blames ``path`` of the object or a field below.

        An apply of a field that is unknown or of another type fails with 500, and names it in the message alone, after
        a dot.
        """
        return f": .{path}." in self.message or any(cause.startswith(f"{path}.") for cause in self.causes)


class NotFoundError(ApiError):
    """The object, its namespace or its kind does not exist."""


class ConflictError(ApiError):
    """The object has another uid or version than the caller expects."""


class ForbiddenError(ApiError):
    """RBAC or an admission check refused the call."""


class RejectedError(ApiError):
    """The API server or an admission webhook finds the object wrong."""


class UnreachableError(ApiError):
    """No answer came: the network, TLS, or the time limit."""


class NotLeadingError(ApiError):
    """Another process may be the writer: the call was not made."""


class Listed(NamedTuple):
    """The objects of a LIST and the resource version that it is of."""

    items: tuple[Object, ...]
    resource_version: str


class Leases(Protocol):
    """What it takes to hold a Lease. Every method raises ApiError."""

    async def get(self, kind: Kind, place: Key) -> Object | None:
        """The object as it is now, or None."""

    async def create_lease(self, lease: Object) -> Object:
        """Create a Lease. ConflictError if there is one of that name. A leader's right to write does not hold here."""

    async def replace_lease(self, lease: Object) -> Object:
        """Replace exactly this version of a Lease; ConflictError if it is another by now. As create_lease."""


class Cluster(Leases, Protocol):
    """The operator's calls to the API server. Every method raises ApiError."""

    async def apply(self, body: Object) -> Object:
        """Apply ``body`` on the server by force (SSA); fields that only an earlier apply of ours had are dropped.

        With a uid in ``body``, only that object is written; ConflictError if it is gone or another.
        """

    async def overwrite(self, body: Object) -> Object:
        """As apply, with whole lists as in ``body``, for an object that an apply cannot repair.

        Server-side apply leaves the list items of others alone, such as a Service's port whose number (its key) a
        person changed; ours beside it has the same name, and the API server rejects such an object.
        """

    async def annotate(self, kind: Kind, place: Key, uid: str, annotations: Mapping[str, str]) -> Object:
        """Set annotations of exactly this object, and nothing else; ConflictError if it is another by now."""

    async def label(self, kind: Kind, place: Key, uid: str, labels: Mapping[str, str | None]) -> Object:
        """Set labels of exactly this object, or remove them (None), and nothing else; ConflictError if it is another by
        now.
        """

    async def scale(self, body: Object, replicas: int) -> None:
        """Set the replicas of exactly this version of the object through its scale subresource, as an autoscaler does;
        ConflictError if it is another by now.
        """

    async def delete(self, kind: Kind, place: Key, uid: str, resource_version: str) -> None:
        """Delete exactly this version of exactly this object; ConflictError if it is another by now."""

    async def list(self, kind: Kind, selector: str = "") -> Listed:
        """All objects of the kind that match the label selector, in every namespace of this installation."""

    def pages(self, kind: Kind, field_selector: str) -> AsyncIterator[tuple[Object, ...]]:
        """All objects of the kind that match the field selector, in every namespace, page by page: to be summed up
        rather than kept.
        """

    async def patch_status(self, body: Object, status: Object) -> Object:
        """Make ``status`` the status of exactly this version of the object; ConflictError if it is another by now."""

    async def create_event(self, event: Object) -> None:
        """Create an event (events.k8s.io/v1)."""

    async def list_events(self, namespace: str, field_selector: str) -> tuple[Object, ...]:
        """The namespace's events that match the field selector."""

    async def may(self, verb: str, kind: Kind, subresource: str = "", place: Key | None = None) -> bool:
        """Whether the call is allowed, with that object; without one, in every namespace of this installation."""
