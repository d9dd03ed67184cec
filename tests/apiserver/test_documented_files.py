"""What the documents and examples/ apply is accepted by a real API server, rules included."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from modelyard.api.kinds import INFERENCE_SERVICE, SERVING_PROFILE, Kind
from tests.support.api_client import Client, Object, RefusedError
from tests.support.apiserver import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
FILES = sorted(REPOSITORY.glob("examples/**/*.yaml"))
BLOCK = re.compile(r"```ya?ml\n(.*?)```", re.DOTALL)
KINDS = {kind.kind: kind for kind in (INFERENCE_SERVICE, SERVING_PROFILE)}
AROUND = {"apiVersion": INFERENCE_SERVICE.api_version, "kind": INFERENCE_SERVICE.kind, "metadata": {"name": "llama"}}
MODEL = {"model": {"uri": "s3://models/llama-3-8b"}}


def documented() -> Iterator[tuple[str, str]]:
    """Each text in YAML with its place."""
    for page in PAGES:
        for number, block in enumerate(BLOCK.findall(page.read_text()), 1):
            yield f"{page.relative_to(REPOSITORY)}#{number}", block
    for path in FILES:
        yield str(path.relative_to(REPOSITORY)), path.read_text()


def whole(written: Object) -> Object | None:
    """What a page shows, completed where it shows but a part of the spec; None where it is no object of ours."""
    if "kind" in written:
        return written if written["kind"] in KINDS else None
    return AROUND | {"spec": MODEL | written["spec"]} if "spec" in written else None


TEXTS = dict(documented())
OBJECTS = {place: body for place, text in TEXTS.items() if (body := whole(yaml.safe_load(text))) is not None}


def create(client: Client, namespace: str, body: Object) -> Any:
    """What the server would store, of which it keeps nothing."""
    kind: Kind = KINDS[body["kind"]]
    # A profile belongs to no namespace, and other tests have some of the same name.
    own = {"namespace": namespace} if kind.is_namespaced else {"name": f"{body['metadata']['name']}-documented"}
    metadata = body["metadata"] | own
    assert body["apiVersion"] == kind.api_version
    return client.create(kind, body | {"metadata": metadata}, dryRun="All")


@pytest.mark.parametrize("place", OBJECTS)
def test_what_the_docs_apply_is_accepted(admin: Client, shared_namespace: str, place: str) -> None:
    assert create(admin, shared_namespace, OBJECTS[place])["metadata"]["uid"]


def test_every_text_is_an_object_of_ours_but_the_settings_a_node_pool_a_policy_and_an_engines_profile() -> None:
    pages = {place.partition("#")[0] for place in OBJECTS}
    assert pages >= {
        "README.md",
        "docs/user-guide.md",
        "docs/profiles.md",
        "examples/smollm.yaml",
        "examples/profiles/gpu-small.yaml",
    }
    assert {place.partition("#")[0] for place in TEXTS.keys() - OBJECTS.keys()} == {
        "docs/settings.md",
        "docs/simulation.md",
        "docs/node-cache.md",
        "docs/tenancy.md",
    }


def test_the_check_finds_a_field_that_is_not_there_and_a_rule_that_is_broken(
    admin: Client, shared_namespace: str
) -> None:
    wrong = AROUND | {"spec": MODEL | {"enginge": {}}}
    with pytest.raises(RefusedError, match="enginge"):
        create(admin, shared_namespace, wrong)
    with pytest.raises(RefusedError, match="must not use http:"):
        create(admin, shared_namespace, AROUND | {"spec": {"model": {"uri": "http://files.example.com/a"}}})
