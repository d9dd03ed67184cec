"""Whose an object is that has a child's name."""

import pytest

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.controller.reconcile.ownership import Ownership, ownership
from tests.support import factories


def owned_by(**owner: str) -> Object:
    body = factories.child(owner_uid=None)
    body["metadata"]["ownerReferences"] = [owner]
    return body


@pytest.mark.parametrize(
    ("existing", "whose"),
    [
        (factories.child(), Ownership.OURS),
        (factories.child(service_label=None), Ownership.OURS),
        (factories.child(owner_uid=None), Ownership.ORPHAN),
        (factories.child(owner_uid=None, service_label=None), Ownership.FOREIGN),
        (factories.child(owner_uid=None, service_label="other"), Ownership.FOREIGN),
        (factories.child(owner_uid="uid-of-the-one-before"), Ownership.PREVIOUS),
        (owned_by(apiVersion="apps/v1", kind="ReplicaSet", name="smollm", uid="x"), Ownership.FOREIGN),
        (owned_by(apiVersion="serving.kserve.io/v1", kind=names.KIND, name="smollm", uid="x"), Ownership.FOREIGN),
        (owned_by(apiVersion=names.API_VERSION, kind=names.KIND, name="other", uid="x"), Ownership.FOREIGN),
        (owned_by(apiVersion=f"{names.GROUP}/v1", kind=names.KIND, name="smollm", uid="x"), Ownership.PREVIOUS),
    ],
)
def test_owners_and_labels_determine_whose_an_object_is(existing: Object, whose: Ownership) -> None:
    assert ownership(existing, "smollm", factories.UID) is whose
