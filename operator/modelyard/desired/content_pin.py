"""What a service has been served with: the ConfigMap that holds every pod of a revision to one content.

Pods read it at their start. It stands outside of the pod template: what it holds is learned at run time, and no pod is
replaced because of it (docs/adr/0007-one-content-per-revision.md).
"""

import hashlib
from collections.abc import Mapping

from modelyard.api import kinds
from modelyard.api.inference_service import Model
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.digests import DIGEST, REVISION_KEY
from modelyard.contract.errors import InvalidError
from modelyard.desired import metadata
from modelyard.desired.resolved import Resolved
from modelyard.integrations.sources import source_of

KEPT = 10
"""Revisions whose content is remembered. A rollback within these serves what it served before, or reports that the
source has changed."""


def key(model: Model) -> str:
    """The name under which the content of the model's uri and revision is kept: the value of names.ENV_REVISION_KEY."""
    return hashlib.sha256(f"{model.uri}\n{model.revision or ''}".encode()).hexdigest()[:16]


def is_kept(model: Model) -> bool:
    """Whether the first content of its revision is kept: not of a model that is mounted where it lies, nor of one whose
    URI cannot be read.
    """
    try:
        return source_of(model.uri).parts(model).mount is None
    except InvalidError:
        return False


def config_map_name(service: str) -> str:
    """The name of the service's ConfigMap."""
    return metadata.name(service, names.COMPONENT_MODEL)


def contents(config_map: Object | None) -> dict[str, str]:
    """What ``config_map`` holds: digests by key, the present revision's last. Foreign entries are left out."""
    body = config_map or {}
    data = body.get("data") or {}
    known = _well_formed(data)
    order = ((body.get("metadata") or {}).get("annotations") or {}).get(names.ANNOTATION_REVISIONS, "").split(",")
    return {key: known[key] for key in (*sorted(known.keys() - set(order)), *order) if key in known}


def _well_formed(contents: Mapping[str, str]) -> dict[str, str]:
    """Well-formed entries: pods and ConfigMaps belong to tenants."""
    return {key: digest for key, digest in contents.items() if REVISION_KEY.fullmatch(key) and DIGEST.fullmatch(digest)}


def with_verified(known: Mapping[str, str], verified: Mapping[str, str]) -> dict[str, str]:
    """``known`` and what pods have verified since, both digests by key. What is known never changes."""
    return {**_well_formed(verified), **known}


def build(resolved: Resolved) -> list[Object]:
    """The ConfigMap. It stays for as long as it holds something, also while the service needs none."""
    if not is_kept(resolved.service.spec.model) and not resolved.contents:
        return []
    present = key(resolved.service.spec.model)
    ordered = sorted(resolved.contents, key=lambda known: known == present)[-KEPT:]
    return [
        metadata.child(
            kinds.CONFIG_MAP,
            resolved.lead,
            component=names.COMPONENT_MODEL,
            annotations={names.ANNOTATION_REVISIONS: ",".join(ordered)},
            content={"data": {known: resolved.contents[known] for known in ordered}},
        )
    ]
