"""What all children have in common: labels, owner, and the hash of what was rendered. No other module writes these."""

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from modelyard.api.kinds import Kind
from modelyard.api.service import Object, Service
from modelyard.contract import names
from modelyard.desired.resolved import Pool

NOTHING: Mapping[str, str] = MappingProxyType({})


def fingerprint(rendered: Any, digits: int = 16) -> str:
    """A hash of plain data in hexadecimal ``digits``: the same for the same data, whatever the order of its keys."""
    text = json.dumps(rendered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def own_labels(pool: Pool) -> dict[str, str]:
    """Labels of every child and every pod: the recommended ones and ours."""
    return {
        names.LABEL_APP_NAME: pool.engine.name,
        names.LABEL_APP_INSTANCE: pool.service.key.name,
        names.LABEL_APP_PART_OF: names.APPLICATION,
        names.LABEL_APP_MANAGED_BY: names.APPLICATION,
        **pool_selector(pool),
    }


def service_selector(service: Service) -> dict[str, str]:
    """What selects all engine pods of the service."""
    return {
        names.LABEL_SERVICE: service.key.name,
        names.LABEL_APP_COMPONENT: names.COMPONENT_ENGINE,
    }


def pool_selector(pool: Pool) -> dict[str, str]:
    """What selects the engine pods of one Deployment. A Deployment's selector can never change, so neither may this."""
    return {**service_selector(pool.service), names.LABEL_POOL: pool.name}


def name(service: str, component: str) -> str:
    """The name of a child of ``service``: the same, with the ``component`` behind it unless that is the engine."""
    return service if component == names.COMPONENT_ENGINE else f"{service}-{component}"


def deployment_name(service: str, pool: str) -> str:
    """The name of the Deployment of the ``service``'s ``pool``: the same, with the pool behind it unless that is the
    default one.
    """
    return service if pool == names.DEFAULT_POOL else f"{service}-{pool}"


def pool_of(service: str, deployment: str) -> str:
    """The pool of the ``service`` whose Deployment has that name."""
    return names.DEFAULT_POOL if deployment == service else deployment.removeprefix(f"{service}-")


def child(
    kind: Kind,
    pool: Pool,
    *,
    content: Object,
    labels: Mapping[str, str] = NOTHING,
    annotations: Mapping[str, str] = NOTHING,
    component: str = names.COMPONENT_ENGINE,
    child_name: str = "",
) -> Object:
    """A whole child of the service that ``pool`` is of: ``content`` is all of it but identity and metadata. Its name
    follows from its ``component`` where no ``child_name`` is given.

    ``labels`` and ``annotations`` come beside ours, which no other of the same key replaces.

    The owner reference makes the cluster collect the child with its owner, and blocks the owner's foreground deletion
    until the child is gone.
    """
    service = pool.service
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": service.key.name,
        "uid": service.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    body: Object = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": child_name or name(service.key.name, component),
            "namespace": service.key.namespace,
            "labels": {**labels, **own_labels(pool), names.LABEL_APP_COMPONENT: component},
            "annotations": dict(annotations),
            "ownerReferences": [owner],
        },
        **content,
    }
    body["metadata"]["annotations"][names.ANNOTATION_RENDERED] = fingerprint(body)
    return body
