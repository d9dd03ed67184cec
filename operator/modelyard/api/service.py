"""One InferenceService as the operator holds it: identity, parsed spec, and what people wrote beside the spec."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from modelyard.api.inference_service import InferenceServiceSpec
from modelyard.contract import names
from modelyard.contract.errors import InvalidError

Object = dict[str, Any]
"""A Kubernetes object as the API server sends it."""


class Key(NamedTuple):
    """Namespace and name: what a reconcile works on."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Service:
    """A parsed InferenceService. ``refresh`` is the value of the refresh annotation, ``status`` the stored status,
    ``deleting`` whether it is being deleted (in the foreground: its children go first), ``paused`` whether its
    user paused all writes for it.
    """

    key: Key
    uid: str
    generation: int
    spec: InferenceServiceSpec
    refresh: str | None
    status: Object
    deleting: bool = False
    paused: bool = False

    @property
    def model_name(self) -> str:
        """The model's name as requests give it."""
        return self.spec.model.name or self.key.name


def key_of(body: Object) -> Key:
    """Namespace and name of a namespaced object."""
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])


def problems(error: ValidationError) -> str:
    """What is wrong with an object's spec, field by field."""
    return "; ".join(f"spec.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


def parse(body: Object) -> Service:
    """The Service in ``body``, an object as the API server stores it.

    Raises InvalidError (InvalidSpec) naming the field: only reachable when the CRD on the server is not the one that
    belongs to this operator, since the server checks the same schema.
    """
    metadata = body["metadata"]
    try:
        spec = InferenceServiceSpec.model_validate(body.get("spec") or {})
    except ValidationError as error:
        raise InvalidError(
            "InvalidSpec",
            f"{problems(error)}. Correct the field, or install the CRD of this operator's version (crds/).",
        ) from error
    annotations = metadata.get("annotations") or {}
    return Service(
        key=key_of(body),
        uid=metadata["uid"],
        generation=metadata["generation"],
        spec=spec,
        refresh=annotations.get(names.ANNOTATION_REFRESH),
        status=body.get("status") or {},
        deleting="deletionTimestamp" in metadata,
        paused=annotations.get(names.ANNOTATION_PAUSED) == "true",
    )
