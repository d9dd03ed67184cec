"""Every bound and every required field of the CRDs, judged by a real API server at the bound and one step beyond.

The cases come from the schema itself, so that a new field is tested as soon as it is there; what it needs is a place in
the full example, and a row in SIZED when not any text or number will do.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.api import crd
from modelyard.api.kinds import INFERENCE_SERVICE, SERVING_PROFILE, Kind
from modelyard.api.profile import ServingProfile
from tests.support import crd_schema
from tests.support.api_client import Client, Object, RefusedError
from tests.support.apiserver import ApiServer
from tests.support.crd_schema import Bound
from tests.support.inference_services import full, profile, with_field

SCHEMAS = {INFERENCE_SERVICE: crd.schema(), SERVING_PROFILE: crd.schema(ServingProfile)}
NODES = {kind: dict(crd_schema.nodes(schema)) for kind, schema in SCHEMAS.items()}
BOUNDS = [
    pytest.param(kind, bound, id=f"{kind.kind}-{bound.place}-{bound.keyword}")
    for kind, schema in SCHEMAS.items()
    for bound in crd_schema.bounds(schema)
]
REQUIRED = [(kind, place) for kind, schema in SCHEMAS.items() for place in crd_schema.required(schema)]

SIZED: dict[str, Callable[[int], Any]] = {
    "spec.model.digest": lambda size: "sha256:".ljust(size, "0"),
    "spec.model.uri": lambda size: "s3://".ljust(size, "x"),
    "spec.model.proxy.url": lambda size: "https://".ljust(size, "x"),
    "spec.model.proxy.noProxy": lambda size: ["a"] * size,
    "spec.model.hf.endpoint": lambda size: "https://".ljust(size, "x"),
    "spec.model.https.sha256": lambda size: "0" * size,
    "spec.model.s3.endpoint": lambda size: "https://".ljust(size, "x"),
    "spec.accelerator.resource": lambda size: f"{'x' * 63}.{'x' * 63}.{'x' * (size - 192)}/{'x' * 63}",
    "spec.resources.requests": lambda size: {f"example.com/device-{number}": 1 for number in range(size)},
    "spec.resources.limits": lambda size: {f"example.com/device-{number}": 1 for number in range(size)},
    "spec.resources.requests{}": "1".zfill,
    "spec.resources.limits{}": lambda size: "1" * size,
    "spec.engine.args[]": lambda size: "--x".ljust(size, "x")[:size],
    "spec.forbid": lambda size: [f"spec.field{number}" for number in range(size)],
    "spec.forbid[]": lambda size: "spec.".ljust(size, "x"),
    "spec.engine.args": lambda size: ["--flag"] * size,
    "spec.model.aliases": lambda size: [f"name-{number}" for number in range(size)],
    "spec.imagePullSecrets": lambda size: [{"name": f"secret-{number}"} for number in range(size)],
    "spec.accelerator.product": lambda size: [f"product-{number}" for number in range(size)],
    "spec.service.labels": lambda size: {f"key-{number}": "" for number in range(size)},
    "spec.service.annotations": lambda size: {f"key-{number}": "" for number in range(size)},
    "spec.podTemplate.metadata.labels": lambda size: {f"key-{number}": "" for number in range(size)},
    "spec.podTemplate.metadata.annotations": lambda size: {f"key-{number}": "" for number in range(size)},
    "spec.engine.env": lambda size: [{"name": f"NAME_{number}"} for number in range(size)],
    "spec.networkPolicy.from": lambda size: [{"podSelector": {}}] * size,
    **{
        f"spec.networkPolicy.from[].{selector}.{field}": value
        for selector in ("namespaceSelector", "podSelector")
        for field, value in {
            "matchLabels": lambda size: {f"label-{number}": "x" for number in range(size)},
            "matchExpressions": lambda size: [{"key": "x", "operator": "Exists"}] * size,
            "matchExpressions[].key": lambda size: f"{'x' * 63}.{'y' * 63}.{'z' * 125}/".ljust(size, "x"),
            "matchExpressions[].values": lambda size: ["x"] * size,
        }.items()
    },
    "spec.networkPolicy.from[].ipBlock.cidr": lambda size: f"2001:0db8:{'0001:' * 5}0001/128".ljust(size, "x"),
    "spec.networkPolicy.from[].ipBlock.except": lambda size: [f"2001:db8:{number}::/48" for number in range(size)],
    "spec.networkPolicy.from[].ipBlock.except[]": lambda size: f"2001:0db8:{'0001:' * 5}0001/128".ljust(size, "x"),
    "spec.cache.prefetchNodeSelector": lambda size: {f"label-{number}": "x" for number in range(size)},
    "spec.engine.triton.models": lambda size: [f"model-{number}" for number in range(size)],
    "spec.scaling.scaleUp.policies": lambda size: [{"type": "Pods", "value": 1, "periodSeconds": 15}] * size,
    "spec.scaling.scaleDown.policies": lambda size: [{"type": "Pods", "value": 1, "periodSeconds": 15}] * size,
    "spec.scaling.schedules": lambda size: [{"start": "08:00", "end": "18:00", "minReplicas": 1}] * size,
    "spec.scaling.schedules[].start": lambda size: "08:00".ljust(size, "0"),
    "spec.scaling.schedules[].end": lambda size: "18:00".ljust(size, "0"),
    "spec.scaling.schedules[].days": lambda size: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon"][:size],
    "status.scaling.inputs": lambda size: [{"signal": f"signal-{number}", "value": "1"} for number in range(size)],
    "status.scaling.history": lambda size: (
        [{"time": "2026-11-01T12:00:00Z", "from": 1, "to": 2, "reason": "DemandRises"}] * size
    ),
    "status.model.nodes": lambda size: [
        {"name": f"node-{number}", "result": "Hit", "seconds": 0, "fetchedBytes": 0} for number in range(size)
    ],
    "status.prefetch.nodes": lambda size: [{"name": f"node-{number}", "state": "Ready"} for number in range(size)],
    "status.conditions": lambda size: [
        {
            "type": f"Type{number}",
            "status": "True",
            "lastTransitionTime": "2026-11-01T12:00:00Z",
            "reason": "Fine",
            "message": "",
        }
        for number in range(size)
    ],
}
"""Values of a given size that nothing but the bound can refuse, where a row of x or the number itself is none."""


def sized(place: str, size: int) -> Any:
    """A value of this size for this place."""
    if place in SIZED:
        return SIZED[place](size)
    of_type = {nodes[place].get("type") for nodes in NODES.values() if place in nodes}
    return size if of_type == {"integer"} else "x" * size


def fitting(bound: Bound) -> Any:
    """A value exactly at the bound."""
    match bound.keyword:
        case "enum":
            return bound.limit[-1]
        case "format":
            return "2026-11-01T12:00:00Z"
        case _:
            return sized(bound.place, bound.limit)


def exceeding(bound: Bound) -> Any:
    """The nearest value beyond the bound."""
    match bound.keyword:
        case "enum" | "format":
            return "nonsense"
        case "minLength" | "minimum":
            return sized(bound.place, bound.limit - 1)
        case _:
            return sized(bound.place, bound.limit + 1)


COMPLAINTS = {
    "enum": "Unsupported value: {value}: supported values: {choices}",
    "format": "Invalid value: {value}: {field} in body must be of type {limit}: {value}",
    "minLength": "Invalid value: {value}: {field} in body should be at least {limit} chars long",
    "maxLength": "Too long: may not be more than {limit} bytes",
    "minimum": "Invalid value: {value}: {field} in body should be greater than or equal to {limit}",
    "maximum": "Invalid value: {value}: {field} in body should be less than or equal to {limit}",
    "maxItems": "Too many: {size}: must have at most {limit} items",
    "maxProperties": "Too many: {size}: must have at most {limit} items",
}


def complaint(bound: Bound, where: str, value: Any) -> str:
    """The API server's message on a value beyond the bound; in a status it leaves out the first word of ``where``."""
    return COMPLAINTS[bound.keyword].format(
        value=json.dumps(value),
        field=where.removeprefix("status."),
        limit=bound.limit,
        choices=", ".join(map(json.dumps, bound.limit)) if bound.keyword == "enum" else "",
        size=len(value) if isinstance(value, (list, dict)) else "",
    )


@pytest.fixture(scope="module")
def stored(apiserver: ApiServer) -> dict[Kind, Object]:
    """The full examples as the server holds them, the service with its status."""
    client, body = apiserver.client(), full(apiserver.namespace())
    service = client.create(INFERENCE_SERVICE, body)
    return {
        INFERENCE_SERVICE: client.replace(INFERENCE_SERVICE, service | {"status": body["status"]}, "status"),
        SERVING_PROFILE: client.create(SERVING_PROFILE, profile("every-bound")),
    }


def attempt(client: Client, kind: Kind, body: Object, place: str) -> None:
    """Have ``body`` judged and thrown away: as a new object, or as a new status of the stored one."""
    if place.startswith("status"):
        client.replace(kind, body, "status", dryRun="All")
    else:
        metadata = body["metadata"] | {"name": "another"}
        kept = {field: metadata[field] for field in ("name", "namespace") if field in metadata}
        fields = {field: value for field, value in body.items() if field == "spec"}
        client.create(kind, {"metadata": kept} | fields, dryRun="All")


def blamed(refused: RefusedError) -> list[tuple[str, str]]:
    """Field and complaint of each cause that the schema gave.

    Left out: the remark that rules went unchecked, and the scale subresource's own words on a negative count.
    """
    causes = [(cause["field"], cause["message"]) for cause in refused.causes]
    return [(field, text) for field, text in causes if field != "<nil>" and not field.startswith(".")]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_examples_use_every_field_of_the_schema(stored: dict[Kind, Object], kind: Kind) -> None:
    for place in NODES[kind]:
        assert crd_schema.find(with_field(stored[kind], place), place) is not None


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_keyword_of_the_schema_is_a_tested_bound_a_rule_or_structure(kind: Kind) -> None:
    known = {*crd_schema.BOUNDS, *crd_schema.STRUCTURE, crd_schema.RULES}
    assert {keyword for node in NODES[kind].values() for keyword in node} <= known


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_text_list_and_map_is_bounded(kind: Kind) -> None:
    limits = {"string": {"maxLength", "enum", "format"}, "array": {"maxItems"}}
    for place, node in NODES[kind].items():
        if "additionalProperties" in node:
            assert "maxProperties" in node, place
        if node.get("type") in limits:
            assert limits[node["type"]] & node.keys(), place


@pytest.mark.parametrize(("kind", "bound"), BOUNDS)
def test_a_value_at_its_bound_is_accepted(admin: Client, stored: dict[Kind, Object], kind: Kind, bound: Bound) -> None:
    body = with_field(stored[kind], bound.place)
    way = crd_schema.find(body, bound.place)
    attempt(admin, kind, crd_schema.changed(body, way, fitting(bound)), bound.place)


@pytest.mark.parametrize(("kind", "bound"), BOUNDS)
def test_a_value_beyond_its_bound_is_refused_by_name(
    admin: Client, stored: dict[Kind, Object], kind: Kind, bound: Bound
) -> None:
    body = with_field(stored[kind], bound.place)
    way, value = crd_schema.find(body, bound.place), exceeding(bound)
    with pytest.raises(RefusedError) as refused:
        attempt(admin, kind, crd_schema.changed(body, way, value), bound.place)
    where = crd_schema.written(way)
    assert blamed(refused.value) == [(where, complaint(bound, where, value))]


@pytest.mark.parametrize(("kind", "place"), REQUIRED, ids=str)
def test_a_required_field_that_is_missing_is_named(
    admin: Client, stored: dict[Kind, Object], kind: Kind, place: str
) -> None:
    body = with_field(stored[kind], place)
    way = crd_schema.find(body, place)
    with pytest.raises(RefusedError) as refused:
        attempt(admin, kind, crd_schema.without(body, way), place)
    assert (crd_schema.written(way), "Required value") in blamed(refused.value)
