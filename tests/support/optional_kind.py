"""A kind of child that a cluster may lack, which only tests bring: no child of the product is optional yet."""

import pytest

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Object
from modelyard.contract import names

WIDGETS = Kind("widgets.example.com", "v1", "widgets", "Widget", optional=True)

CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{WIDGETS.plural}.{WIDGETS.group}"},
    "spec": {
        "group": WIDGETS.group,
        "scope": "Namespaced",
        "names": {"plural": WIDGETS.plural, "kind": WIDGETS.kind},
        "versions": [
            {
                "name": WIDGETS.version,
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
        ],
    },
}


def bring(monkeypatch: pytest.MonkeyPatch) -> Kind:
    """Make it a kind of child, which the operator watches and may own."""
    monkeypatch.setattr(kinds, "WATCHED", {**kinds.WATCHED, WIDGETS: names.MANAGED_SELECTOR})
    monkeypatch.setattr(kinds, "OWNED", (*kinds.OWNED, WIDGETS))
    monkeypatch.setitem(kinds._BY_NAME, (WIDGETS.api_version, WIDGETS.kind), WIDGETS)
    return WIDGETS
