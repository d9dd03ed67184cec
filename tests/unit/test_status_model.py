"""What a status reports of the model: its content, how each node came by it, and pods that hold different ones."""

from datetime import timedelta

import pytest

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.fetch_report import FetchFailure, FetchReport, Phase, Reason
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.model_status import NODES_LIMIT, verified_digests
from tests.support.observed import DIGEST, NOW, OLD, World, conditions, ended, fetched, pod, running, serving

OTHER = "sha256:" + "b" * 64
HIT = fetched(seconds=0.07, fetched_bytes=0, cache_hit=True)
BROUGHT = {"name": "worker-1", "result": "Fetched", "seconds": 31, "fetchedBytes": 26_000_000_000}


def on(node: str, fetch: Object, name: str = "", **fields: object) -> Object:
    return serving(name or f"pod-of-{node}", node=node, fetch=fetch, **fields)


def nodes(world: World, stored: Object | None = None) -> list[Object]:
    found: list[Object] = world.verdict(stored).status["model"]["nodes"]
    return found


def test_the_model_is_reported_with_its_source_size_and_how_its_node_came_by_it() -> None:
    assert World(serving(fetch=fetched())).verdict().status["model"] == {
        "source": "s3://models/smollm",
        "digest": DIGEST,
        "sizeBytes": 26_000_000_000,
        "nodes": [BROUGHT],
    }


@pytest.mark.parametrize(
    ("fetch", "result", "event"),
    [
        (fetched(), "Fetched", "Fetched the model to node worker-1: 26 GB in 31 s."),
        (HIT, "Hit", "The model was already on node worker-1."),
        (
            fetched(fetched_bytes=0, waited="uid-of-another", cache_hit=True),
            "Waited",
            "Another pod fetched the model to node worker-1; this pod waited 31 s.",
        ),
        (fetched(fetched_bytes=0), "Fetched", "Fetched the model to node worker-1: 0 B"),
        (fetched(fetched_bytes=9, waited="uid-of-another"), "Fetched", "Fetched the model to node worker-1"),
    ],
)
def test_a_node_that_came_by_the_model_is_reported_once(fetch: Object, result: str, event: str) -> None:
    world = World(serving(fetch=fetch))
    verdict = world.verdict(World().verdict().status)
    events = [e for e in verdict.events if e.reason == "ModelCached"]
    assert [node["result"] for node in verdict.status["model"]["nodes"]] == [result]
    assert [(e.type, e.message.startswith(event)) for e in events] == [("Normal", True)]
    assert world.verdict(verdict.status, NOW + timedelta(seconds=5)).events == ()


def test_the_newest_fetch_of_each_node_is_reported_newest_first() -> None:
    world = World(
        on("worker-1", fetched(since_s=500), "first"),
        on("worker-1", HIT, "second"),
        on("worker-2", fetched(since_s=90)),
        replicas=3,
    )
    assert [(node["name"], node["result"]) for node in nodes(world)] == [("worker-1", "Hit"), ("worker-2", "Fetched")]


def test_no_more_nodes_are_reported_than_a_status_holds() -> None:
    pods = [on(f"worker-{n}", fetched(since_s=1 + n)) for n in range(NODES_LIMIT + 9)]
    world = World(*pods, replicas=len(pods))
    assert [node["name"] for node in nodes(world)] == [f"worker-{n}" for n in range(NODES_LIMIT)]


def test_fetches_of_long_ago_are_no_news_to_an_operator_that_just_learned_of_them() -> None:
    world = World(serving(fetch=fetched(since_s=601)))
    before = World(serving()).verdict().status
    assert nodes(world, before) == [BROUGHT]
    assert world.verdict(before).events == ()


def test_a_fetcher_that_does_not_report_what_it_brought_leaves_its_node_out() -> None:
    verdict = World(serving()).verdict()
    assert verdict.status["model"] == {"digest": DIGEST, "sizeBytes": 270_000_000}
    assert [e.reason for e in verdict.events] == ["Ready"]


def test_a_content_that_was_refused_is_not_the_services_own() -> None:
    known = {"digest": DIGEST, "sizeBytes": 7}
    for reason in (Reason.SOURCE_CHANGED, Reason.DIGEST_MISMATCH):
        refused = FetchReport(
            phase=Phase.FAILED, digest=OTHER, bytes_total=9, error=FetchFailure(reason, "Other content.")
        )
        world = World(pod(fetch=running(9)), states={"uid-of-smollm-1": refused})
        assert world.verdict({"model": known}).status["model"] == known


def test_what_is_verified_goes_before_what_is_being_fetched() -> None:
    arriving = FetchReport(phase=Phase.DOWNLOADING, digest=OTHER, bytes_total=9)
    world = World(pod("a", fetch=running(9)), serving("b"), replicas=2, states={"uid-of-a": arriving})
    assert world.verdict().status["model"]["digest"] == DIGEST


def test_a_source_that_changed_stops_new_pods_and_leaves_ready_ones_to_serve() -> None:
    changed = FetchReport(
        phase=Phase.FAILED, error=FetchFailure(Reason.SOURCE_CHANGED, "Set a new spec.model.revision.")
    )
    world = World(serving("a"), pod("b", fetch=running(9)), replicas=2, states={"uid-of-b": changed})
    found = {type_: f"{c['status']}/{c['reason']}" for type_, c in conditions(world.verdict()).items()}
    assert (
        found.items()
        >= {
            "Ready": "True/Degraded",
            "Available": "False/SourceChanged",
            "ModelCached": "False/SourceChanged",
            "Progressing": "False/SourceChanged",
            "Stalled": "True/SourceChanged",
        }.items()
    )


def test_pods_of_one_revision_with_different_contents_are_reported_with_what_to_do() -> None:
    world = World(serving("a"), serving("b", fetch=fetched(OTHER, since_s=700)), replicas=2)
    verdict = world.verdict(World(serving("a"), serving("b"), replicas=2).verdict().status)
    found = conditions(verdict)
    assert (found["Ready"]["status"], found["Progressing"]["reason"]) == ("True", "Complete")
    assert (found["ModelCached"]["status"], found["ModelCached"]["reason"]) == ("False", "ContentsDiffer")
    assert f"{DIGEST} on a; {OTHER} on b" in found["ModelCached"]["message"]
    assert "Set a new spec.model.revision" in found["ModelCached"]["message"]
    assert [(e.type, e.reason) for e in verdict.events] == [("Warning", "ContentsDiffer")]


def test_another_content_of_the_former_revision_is_no_difference() -> None:
    world = World(serving("a", fetch=fetched(OTHER), template=OLD), serving("b"))
    assert conditions(world.verdict())["ModelCached"]["reason"] == "Cached"


def of_revision(key: str, name: str, fetch: Object, **fields: object) -> Object:
    container = {"name": names.CONTAINER_FETCH, "env": [{"name": names.ENV_REVISION_KEY, "value": key}]}
    return pod(name, fetch=fetch, spec={"initContainers": [container]}, **fields)  # type: ignore[arg-type] # any field


def test_the_first_content_that_a_pod_verified_is_that_of_its_revision() -> None:
    pods = (
        of_revision("new", "late", fetched(OTHER, since_s=5)),
        of_revision("new", "first", fetched(since_s=50)),
        of_revision("old", "gone", fetched(OTHER, since_s=90), phase=Phase.FAILED),
        serving("of an older rendering"),
    )
    assert verified_digests(map(pod_facts, pods)) == {"new": DIGEST, "old": OTHER}


@pytest.mark.parametrize(
    "fetch",
    [
        running(9),
        ended(1, f'{{"phase": "Failed", "digest": "{DIGEST}"}}'),
        ended(0, f'{{"phase": "Done", "digest": "{DIGEST}", "mounted": true}}'),
        ended(0, '{"phase": "Done", "digest": "sha256:1"}'),
        ended(0, "done"),
    ],
)
def test_what_no_fetcher_verified_is_no_content_of_a_revision(fetch: Object) -> None:
    assert verified_digests([pod_facts(of_revision("new", "a", fetch))]) == {}
