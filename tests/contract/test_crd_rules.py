"""Every CEL rule of the CRD, judged by a real API server: what it accepts, what it refuses, and the words it uses."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from modelyard.api import crd
from modelyard.kinds import INFERENCE_SERVICE
from tests.support import crd_schema
from tests.support.api_client import Client, Object, RefusedError
from tests.support.crd_schema import Rule
from tests.support.inference_services import full

Changes = dict[str, Any]
"""Values by place, put into the full example."""


class Case(NamedTuple):
    """A rule, the field that the server blames, and examples on both sides of the rule."""

    rule: Rule
    blames: str
    accepted: list[Changes]
    refused: list[Changes]


NAME = Rule(
    "",
    "metadata.name becomes the name of a Service: at most 50 characters, lower-case letters, digits and '-', "
    "beginning with a letter and not ending with '-'",
)
OBJECT_NAME = (
    "must be the name of an object: lower-case letters, digits, '-' and '.', "
    "beginning and ending with a letter or digit"
)
DATA_KEY = "must be a key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'"
QUANTITY = "must be a quantity that is not negative, such as 4, 500m or 32Gi"
RESOURCE_NAMES = (
    "resources are cpu, memory, ephemeral-storage, hugepages-<size> or an extended resource with its domain, "
    "such as nvidia.com/gpu"
)
LABEL_KEY = (
    "be a label's key: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, "
    "after a domain and '/' if it has one"
)
LABEL_VALUE = (
    "must be a label's value: letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, or empty"
)
GOOD_LABEL_KEYS = ("app", "a" * 63, "example.com/App_1", "a" * 253 + "/x")
BAD_LABEL_KEYS = ("", "-a", "a" * 64, "/x", "a..b/x", "A.b/x", "a/b/c", "a" * 254 + "/x")
PEER = "spec.networkPolicy.from[]"
SINGLE_CASES = [
    Case(
        NAME,
        "<nil>",
        [{"metadata.name": name} for name in ("a", "a1-b", "a" * 50)],
        [{"metadata.name": name} for name in ("a" * 51, "1st", "a.b", "9")],
    ),
    Case(
        Rule("spec", "model.s3 belongs to a model.uri that begins with s3://: remove it or change the uri"),
        "spec.model.s3",
        [{"spec.model.uri": "s3://models/x"}, {"spec.model": {"uri": "hf://org/model"}}],
        [{"spec.model.uri": "hf://org/model"}],
    ),
    Case(
        Rule("spec.model.uri", "model.uri must look like scheme://place, for example s3://models/llama-3-8b"),
        "spec.model.uri",
        [{"spec.model.uri": uri} for uri in ("s3://models", "s3://models/a/b@c")],
        [
            {"spec.model": {"uri": uri}}
            for uri in ("", "models/x", "s3:/models", "s3:///models", "S3://models", "s3://a b")
        ],
    ),
    Case(
        Rule(
            "spec.model.s3.endpoint",
            "model.s3.endpoint must be a URL that begins with http:// or https://, for example https://s3.example.com",
        ),
        "spec.model.s3.endpoint",
        [{"spec.model.s3.endpoint": url} for url in ("http://s3.default.svc:8333", "https://s3.example.com/store")],
        [{"spec.model.s3.endpoint": url} for url in ("", "s3.example.com", "https://", "ftp://s3.example.com")],
    ),
    Case(
        Rule(
            "spec.model.s3.endpoint",
            "model.s3.endpoint must not carry a user or password: put them in a Secret and name it in "
            "model.credentials.secretName",
        ),
        "spec.model.s3.endpoint",
        [{"spec.model.s3.endpoint": "https://s3.example.com"}],
        [{"spec.model.s3.endpoint": "https://user:password@s3.example.com"}],
    ),
    Case(
        Rule("spec.engine.env[]", "an engine.env entry takes value or valueFrom, not both"),
        "spec.engine.env[0]",
        [{"spec.engine.env": [{"name": "A"}]}, {"spec.engine.env": [{"name": "A", "value": ""}]}],
        [{"spec.engine.env": [{"name": "A", "value": "", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}],
    ),
    Case(
        Rule("spec.engine.env[].valueFrom", "valueFrom takes one of secretKeyRef and configMapKeyRef"),
        "spec.engine.env[1].valueFrom",
        [{"spec.engine.env[].valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}],
        [
            {"spec.engine.env[].valueFrom": {}},
            {
                "spec.engine.env[].valueFrom": {
                    "configMapKeyRef": {"name": "a", "key": "b"},
                    "secretKeyRef": {"name": "a", "key": "b"},
                }
            },
        ],
    ),
    Case(
        Rule(
            "spec.engine.env[].name",
            "must be the name of a variable: letters, digits, '_', '-' and '.', not beginning with a digit",
        ),
        "spec.engine.env[0].name",
        [{"spec.engine.env[].name": name} for name in ("HF_HOME", "_x", "my.name-2")],
        [{"spec.engine.env[].name": name} for name in ("", "2ND", "A=B", "A B")],
    ),
    Case(
        Rule(
            "spec.accelerator",
            "accelerator.count and accelerator.resource mean nothing on type cpu: remove them, "
            "and ask for cores under resources",
        ),
        "spec.accelerator",
        [{"spec.accelerator": {"type": "cpu"}}, {"spec.accelerator": {"count": 2}}, {"spec.accelerator": {}}],
        [
            {"spec.accelerator": {"type": "cpu", "count": 1}},
            {"spec.accelerator": {"type": "cpu", "resource": "nvidia.com/gpu"}},
        ],
    ),
    Case(
        Rule(
            "spec.accelerator.resource",
            "accelerator.resource must be an extended resource with its domain, such as nvidia.com/gpu",
        ),
        "spec.accelerator.resource",
        [{"spec.accelerator.resource": name} for name in ("nvidia.com/mig-1g.5gb", "amd.com/gpu")],
        [{"spec.accelerator.resource": name} for name in ("", "gpu", "nvidia.com/", "a/b/c", "a..b/c", "a.-b/c")],
    ),
    Case(
        Rule("spec.resources", "resources.requests must not be above resources.limits"),
        "spec.resources.requests",
        [
            {"spec.resources": {"requests": {"cpu": asked}, "limits": {"cpu": most}}}
            for asked, most in ((1, "1000m"), ("500m", 1), ("1e3", "1k"))
        ],
        [
            {"spec.resources": {"requests": {"cpu": asked}, "limits": {"cpu": most}}}
            for asked, most in ((2, "1999m"), ("1Gi", "1G"), (2**63 - 1, "1"))
        ],
    ),
]


def label_cases() -> Iterator[Case]:
    """The rules of label selectors."""
    for selector in ("namespaceSelector", "podSelector"):
        place, blames = f"{PEER}.{selector}", f"{PEER.replace('[]', '[0]')}.{selector}"
        yield Case(
            Rule(f"{place}.matchLabels", f"each key must {LABEL_KEY}"),
            f"{blames}.matchLabels",
            [{f"{place}.matchLabels": {key: "x"}} for key in GOOD_LABEL_KEYS],
            [{f"{place}.matchLabels": {key: "x"}} for key in BAD_LABEL_KEYS],
        )
        yield Case(
            Rule(f"{place}.matchLabels{{}}", LABEL_VALUE),
            f"{blames}.matchLabels[x]",
            [{f"{place}.matchLabels": {"x": value}} for value in ("", "A_b.c-1")],
            [{f"{place}.matchLabels": {"x": value}} for value in ("-", "a b", "a/b")],
        )
        expression = f"{place}.matchExpressions[]"
        yield Case(
            Rule(f"{expression}.key", f"must {LABEL_KEY}"),
            f"{blames}.matchExpressions[0].key",
            [{f"{expression}.key": key} for key in GOOD_LABEL_KEYS],
            [{f"{expression}.key": key} for key in BAD_LABEL_KEYS],
        )
        yield Case(
            Rule(f"{expression}.values[]", LABEL_VALUE),
            f"{blames}.matchExpressions[1].values[0]",
            [{f"{expression}.values[]": value} for value in ("", "A_b.c-1")],
            [{f"{expression}.values[]": value} for value in ("-", "a b", "a/b")],
        )
        yield Case(
            Rule(expression, "In and NotIn need values, Exists and DoesNotExist take none"),
            f"{blames}.matchExpressions[0]",
            [
                {expression: {"key": "a", "operator": "NotIn", "values": ["b"]}},
                {expression: {"key": "a", "operator": "DoesNotExist"}},
                {expression: {"key": "a", "operator": "Exists", "values": []}},
            ],
            [
                {expression: {"key": "a", "operator": "In"}},
                {expression: {"key": "a", "operator": "NotIn", "values": []}},
                {expression: {"key": "a", "operator": "Exists", "values": ["b"]}},
            ],
        )


GOOD_PEERS: list[Object] = [{"namespaceSelector": {}}, {"podSelector": {}}, {"ipBlock": {"cidr": "::/0"}}]
BAD_PEERS: list[Object] = [{}, {"podSelector": {}, "ipBlock": {"cidr": "::/0"}}]


def peer_cases() -> Iterator[Case]:
    """The rules of network peers."""
    yield Case(
        Rule(PEER, "a peer is either an ipBlock, or pods by namespaceSelector, podSelector or both"),
        "spec.networkPolicy.from[0]",
        [{PEER: peer} for peer in GOOD_PEERS],
        [{PEER: peer} for peer in BAD_PEERS],
    )
    for place, blames in (
        (f"{PEER}.ipBlock.cidr", "spec.networkPolicy.from[1].ipBlock.cidr"),
        (f"{PEER}.ipBlock.except[]", "spec.networkPolicy.from[2].ipBlock.except[0]"),
    ):
        yield Case(
            Rule(place, "must be a range of addresses, such as 10.0.0.0/8"),
            blames,
            [{place: "2001:db8:2::/48"}],
            [{place: cidr} for cidr in ("", "10.0.0.0", "10.0.0.0/33", "010.0.0.0/8", "example.com")],
        )
    yield Case(
        Rule(f"{PEER}.ipBlock", "ipBlock.except must lie within ipBlock.cidr and be smaller"),
        "spec.networkPolicy.from[1].ipBlock",
        [
            {f"{PEER}.ipBlock": {"cidr": "10.0.0.0/8", "except": parts}}
            for parts in ([], ["10.1.0.0/16", "10.2.3.4/32"])
        ],
        [
            {f"{PEER}.ipBlock": {"cidr": "10.0.0.0/8", "except": [part]}}
            for part in ("11.0.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/64")
        ],
    )


def repeated_cases() -> Iterator[Case]:
    """The rules of types that several fields have."""
    yield from label_cases()
    yield from peer_cases()
    for place, blames in (
        ("spec.model.credentials.secretName", "spec.model.credentials.secretName"),
        ("spec.model.s3.caBundle.configMapName", "spec.model.s3.caBundle.configMapName"),
        ("spec.serviceAccountName", "spec.serviceAccountName"),
        ("spec.engine.env[].valueFrom.secretKeyRef.name", "spec.engine.env[1].valueFrom.secretKeyRef.name"),
        ("spec.engine.env[].valueFrom.configMapKeyRef.name", "spec.engine.env[2].valueFrom.configMapKeyRef.name"),
    ):
        yield Case(
            Rule(place, OBJECT_NAME),
            blames,
            [{place: name} for name in ("a", "s3-read", "my.secret")],
            [{place: name} for name in ("", "S3", "a_b", "-a", "a.")],
        )
    for place, blames in (
        ("spec.model.s3.caBundle.key", "spec.model.s3.caBundle.key"),
        ("spec.engine.env[].valueFrom.secretKeyRef.key", "spec.engine.env[1].valueFrom.secretKeyRef.key"),
        ("spec.engine.env[].valueFrom.configMapKeyRef.key", "spec.engine.env[2].valueFrom.configMapKeyRef.key"),
    ):
        yield Case(
            Rule(place, DATA_KEY),
            blames,
            [{place: key} for key in ("ca.crt", "API_KEY", "a-b")],
            [{place: key} for key in ("", "a/b", "a b")],
        )
    for place, other in (
        ("spec.resources.requests", "spec.resources.limits"),
        ("spec.resources.limits", "spec.resources.requests"),
    ):
        alone: Changes = {other: {}}
        yield Case(
            Rule(place, RESOURCE_NAMES),
            place,
            [
                alone | {place: {name: 1}}
                for name in ("cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "example.com/fpga")
            ],
            [alone | {place: {name: 1}} for name in ("cpus", "gpu", "Memory", "hugepages-", "--model=/x", "a..b/c")],
        )
        yield Case(
            Rule(f"{place}{{}}", QUANTITY),
            f"{place}[cpu]",
            [alone | {place: {"cpu": amount}} for amount in (0, 4, "0.5", "500m", "1e3", "32Gi")],
            [alone | {place: {"cpu": amount}} for amount in (-1, "-1", "", "4 cores", "32GB")],
        )


CASES = [*SINGLE_CASES, *repeated_cases()]
ACCEPTED = [
    pytest.param(case, changes, id=f"{case.rule.place}-{changes}") for case in CASES for changes in case.accepted
]
REFUSED = [pytest.param(case, changes, id=f"{case.rule.place}-{changes}") for case in CASES for changes in case.refused]


def create(client: Client, namespace: str, changes: Changes) -> None:
    """Have the full example with ``changes`` judged, and thrown away."""
    body: Object = full(namespace)
    del body["status"]
    for place, value in changes.items():
        body = crd_schema.changed(body, crd_schema.find(body, place), value)
    client.create(INFERENCE_SERVICE, body, dryRun="All")


def test_every_rule_of_the_crd_has_its_case() -> None:
    assert sorted(case.rule for case in CASES) == sorted(crd_schema.rules(crd.schema()))


@pytest.mark.parametrize(("case", "changes"), ACCEPTED)
def test_what_a_rule_allows_is_accepted(admin: Client, shared_namespace: str, case: Case, changes: Changes) -> None:
    assert case.accepted
    create(admin, shared_namespace, changes)


@pytest.mark.parametrize(("case", "changes"), REFUSED)
def test_what_a_rule_forbids_is_refused_in_its_words(
    admin: Client, shared_namespace: str, case: Case, changes: Changes
) -> None:
    with pytest.raises(RefusedError) as refused:
        create(admin, shared_namespace, changes)
    [cause] = refused.value.causes
    assert cause["field"] == case.blames
    assert cause["message"].startswith("Invalid value: ")
    assert cause["message"].endswith(f": {case.rule.message}")
