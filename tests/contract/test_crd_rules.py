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
            "spec.engine.triton.models[]",
            "must be the name of a model's folder in the repository: letters, digits, '_', '-' and '.', "
            "beginning with a letter, a digit or '_'",
        ),
        "spec.engine.triton.models[0]",
        [{"spec.engine.triton.models[]": name} for name in ("detect", "classify.v2", "_x", "8b-INT8")],
        [{"spec.engine.triton.models[]": name} for name in ("", "*", "a/b", "..", "-x", "a,b")],
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
        [{"spec.accelerator.resource": name} for name in ("", "gpu", "nvidia.com/", "a/b/c")],
    ),
]


def repeated_cases() -> Iterator[Case]:
    """The rules of types that several fields have."""
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
    for place in ("spec.resources.requests", "spec.resources.limits"):
        yield Case(
            Rule(place, RESOURCE_NAMES),
            place,
            [
                {place: {name: 1}}
                for name in ("cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "example.com/fpga")
            ],
            [{place: {name: 1}} for name in ("cpus", "gpu", "Memory")],
        )
        yield Case(
            Rule(f"{place}{{}}", QUANTITY),
            f"{place}[cpu]",
            [{place: {"cpu": amount}} for amount in (0, 4, "0.5", "500m", "1e3", "32Gi")],
            [{place: {"cpu": amount}} for amount in (-1, "-1", "", "4 cores", "32GB")],
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
