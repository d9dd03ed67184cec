"""Specs that no person would think of: each is refused with a message, or gives objects that the API server accepts."""

import asyncio
import json
import os
import re
import ssl
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import parse
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.controller.cluster.kubernetes_client import APPLY, yaml_of
from modelyard.controller.reconcile.drift import differing_field
from modelyard.desired import desired
from modelyard.desired.resolve import resolve
from tests.support import crd_schema
from tests.support.api_client import Object, resource_path
from tests.support.apiserver import ADMIN, CRDS, ApiServer
from tests.support.golden_cases import CASES
from tests.support.inference_services import FULL_SPEC
from tests.support.rendering import SETTINGS
from tests.support.schema_strategies import PRESERVED, TEXTS, Objects

COUNT = int(os.environ.get("MODELYARD_FUZZ_SPECS", "500"))
AT_ONCE = 16
CRD = yaml.safe_load((CRDS / f"{names.GROUP}_{names.PLURAL}.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
FREE = [place for place, node in crd_schema.nodes(SCHEMA) if PRESERVED in node]
"""Fields of which the schema knows nothing: the API server rejects the child that has a wrong one, and the service's
status repeats its message."""


def examples() -> Iterator[Object]:
    """Services that are known to be good, for the values of their fields."""
    yield {"spec": FULL_SPEC}
    for case in CASES:
        yield next(yaml.safe_load_all(case.read_text()))


def specs(count: int) -> list[Object]:
    """Different services, the same on every run, without namespace."""
    objects = Objects(SCHEMA, examples())
    service_names = st.sampled_from(["smollm"] * 200 + list(TEXTS))
    found: dict[str, Object] = {}

    @settings(
        max_examples=count * 5 // 2,  # hypothesis varies each a few times, which often gives the same once more
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(service_names, objects.at("spec"))
    def collect(name: str, spec: Any) -> None:
        body = {"metadata": {"name": name}, "spec": spec}
        found[json.dumps(body)] = body

    collect()
    return list(found.values())[:count]


@dataclass
class Outcome:
    """What became of all specs: how many of each kind, and what must not happen."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Judge:
    """An API server that gets many dry-run requests at once."""

    def __init__(self, session: aiohttp.ClientSession, server: ApiServer, namespace: str) -> None:
        self._session = session
        self._namespace = namespace
        self._url = server.url
        self._head = {"Authorization": f"Bearer {server.tokens[ADMIN]}"}
        self._trust = ssl.create_default_context(cafile=str(server.certificate))
        self.outcome = Outcome()

    async def _send(self, method: str, path: str, text: str, content: str, **query: str) -> tuple[int, Object]:
        async with self._session.request(
            method,
            f"{self._url}{path}",
            params={"dryRun": "All"} | query,
            data=text,
            headers=self._head | {"Content-Type": content},
            ssl=self._trust,
        ) as answer:
            return answer.status, json.loads(await answer.read())

    async def _create(self, body: Object) -> tuple[int, Object]:
        path = resource_path(kinds.INFERENCE_SERVICE, self._namespace)
        whole = {"apiVersion": names.API_VERSION, "kind": names.KIND} | body
        return await self._send("POST", path, json.dumps(whole), "application/json", fieldValidation="Strict")

    async def _apply(self, kind: Kind, child: Object) -> tuple[int, Object]:
        path = resource_path(kind, self._namespace, child["metadata"]["name"])
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        return await self._send("PATCH", path, yaml_of(child), APPLY, **query)

    async def judge(self, body: Object) -> None:
        """Follow one service from its creation to its children."""
        try:
            became = await self._followed(body)
        except Exception:  # noqa: BLE001 - whatever it is, it is the finding
            became = "wrong"
            self._blame(body, traceback.format_exc())
        self.outcome.counts[became] += 1

    async def _followed(self, body: Object) -> str:
        status, answer = await self._create(body)
        if status != 201:
            if status not in (400, 422) or not names_a_field(answer):
                self._blame(body, f"refused with {status}: {answer.get('message')}")
            return "refused by the API server"
        try:
            children = desired(resolve(parse(answer), SETTINGS))
        except InvalidError as error:
            if not error.reason or not re.search(r"spec\.\w|settings", error.message):
                self._blame(body, f"refused as {error.reason}: {error.message!r}")
            return "refused by the operator"
        for child in children:
            status, applied = await self._apply(kinds.of(child), child)
            if status not in (200, 201) and uses_a_free_field(body) and applied.get("message"):
                return "refused with the child"
            if status not in (200, 201):
                self._blame(body, f"{child['kind']} refused with {status}: {applied.get('message')}")
            elif (path := differing_field(child, applied)) is not None:
                self._blame(body, f"{child['kind']} would be applied for ever: {path} does not stay as rendered")
        return "rendered"

    def _blame(self, body: Object, what: str) -> None:
        self.outcome.wrong.append(f"{what}\n  of {json.dumps(body)}")


def uses_a_free_field(body: Object) -> bool:
    """Whether the service has one of the fields in FREE."""

    def is_there(place: str) -> bool:
        try:
            crd_schema.find(body, place)
        except LookupError:
            return False
        return True

    return any(map(is_there, FREE))


def names_a_field(status: Object) -> bool:
    """Whether a refusal names what is wrong and where; a strict decoding error has the field in its message."""
    causes = (status.get("details") or {}).get("causes") or []
    by_cause = any(cause.get("field") and cause.get("message") for cause in causes)
    return by_cause or bool(re.search(r"(spec|metadata)\b", status.get("message", "")))


async def outcome_of(bodies: list[Object], server: ApiServer, namespace: str) -> Outcome:
    """Have all of them judged."""
    waiting = iter(bodies)
    async with aiohttp.ClientSession() as session:
        judge = Judge(session, server, namespace)

        async def work() -> None:
            for body in waiting:
                await judge.judge({**body, "metadata": body["metadata"] | {"namespace": namespace}})

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return judge.outcome


async def test_each_spec_is_refused_with_a_message_or_gives_objects_that_the_api_server_takes_as_they_are(
    apiserver: ApiServer, shared_namespace: str
) -> None:
    bodies = specs(COUNT)
    outcome = await outcome_of(bodies, apiserver, shared_namespace)
    assert len(bodies) == COUNT
    assert outcome.wrong == [], "\n\n".join(outcome.wrong[:20])
    assert outcome.counts["rendered"] > COUNT / 4, outcome.counts
    assert outcome.counts["refused by the API server"] > COUNT / 20, outcome.counts
