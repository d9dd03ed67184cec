"""What is known of the model that a service's pods run: its content, and how each of their nodes got it."""

from collections.abc import Iterable
from datetime import datetime

from modelyard.api.conditions import Explanation, amount
from modelyard.api.reasons import Reasons
from modelyard.api.status import ModelStatus, NodeFetch
from modelyard.contract.fetch_report import FetchReport, Reason
from modelyard.observe.facts.pods import LONG_AGO, PodFacts
from modelyard.observe.facts.raw_object import readable
from modelyard.observe.reasons.startup_times import words

NODES_LIMIT = 32
"""Nodes that a status names: the bound of status.model.nodes."""

NEWS_S = 600.0
"""A fetch that ended longer ago gets no event: a new operator would otherwise report every existing pod."""

_OTHER_CONTENT = frozenset({Reason.SOURCE_CHANGED, Reason.DIGEST_MISMATCH})
"""Failures of a fetcher that found another content than it may use: the digest that it reports is not the service's."""

_PODS_LISTED = 3


def verified_digests(pods: Iterable[PodFacts]) -> dict[str, str]:
    """The digest that the first of the ``pods`` verified, by revision key.

    Each pod carries its own key, so what one that is being replaced verified is never taken for a newer revision's.
    """
    verified = sorted(filter(_is_verified, pods), key=_by_time)
    return {pod.revision_key: _digest(pod) for pod in reversed(verified) if pod.revision_key}


def model_status(pods: Iterable[PodFacts], stored: object) -> ModelStatus | None:
    """What ``pods`` report of the model; what was ``stored`` stays while none reports.

    What the first one verified goes before what others are still fetching. A mounted model has no digest.
    """
    pods = tuple(pods)
    verified = [pod.verified for pod in sorted(pods, key=_by_time)]
    report = next(filter(None, (*verified, *map(_under_way, pods))), None)
    if report is None:
        return readable(ModelStatus, stored)
    return ModelStatus(
        source=report.uri, digest=report.digest, size_bytes=report.bytes_total, nodes=list(_by_node(pods).values())
    )


def fetch_news(pods: Iterable[PodFacts], stored: object, now: datetime) -> tuple[str, ...]:
    """How nodes got the model recently, less what the ``stored`` status has already: a sentence each."""
    before = readable(ModelStatus, stored)
    known = before.nodes if before else []
    recent = [
        pod
        for pod in pods
        if (ended := pod.fetch.ended) and (now - (ended.finished or LONG_AGO)).total_seconds() < NEWS_S
    ]
    return tuple(_in_words(fetch) for fetch in _by_node(recent).values() if fetch not in known)


def differing_contents(pods: Iterable[PodFacts]) -> Explanation | None:
    """That ``pods`` of one revision verified different contents, if they did.

    Only pods that started before the first of them reported its digest can: later ones must match it.
    """
    by_digest: dict[str, list[str]] = {}
    for pod in filter(_is_verified, pods):
        by_digest.setdefault(_digest(pod), []).append(pod.name)
    if len(by_digest) < 2:
        return None
    contents = "; ".join(f"{digest} on {_listed(found)}" for digest, found in list(by_digest.items())[:_PODS_LISTED])
    return Reasons.CONTENTS_DIFFER.explain(contents=contents)


def _is_verified(pod: PodFacts) -> bool:
    return pod.verified is not None


def _digest(pod: PodFacts) -> str:
    assert pod.verified is not None
    assert pod.verified.digest is not None
    return pod.verified.digest


def _by_time(pod: PodFacts) -> tuple[datetime, str]:
    return ((pod.fetch.ended.finished if pod.fetch.ended else None) or LONG_AGO, pod.name)


def _under_way(pod: PodFacts) -> FetchReport | None:
    state = pod.fetch_report
    if state is None or (state.error and state.error.reason in _OTHER_CONTENT):
        return None
    return state if state.digest or state.bytes_total is not None else None


def _by_node(pods: Iterable[PodFacts]) -> dict[str, NodeFetch]:
    """How each node got the model, as the last of its pods reports; the newest first, NODES_LIMIT at most."""
    found: dict[str, NodeFetch] = {}
    for pod in sorted(pods, key=_by_time, reverse=True):
        if pod.node and pod.node not in found and (fetch := _fetch(pod)):
            found[pod.node] = fetch
    return dict(list(found.items())[:NODES_LIMIT])


def _fetch(pod: PodFacts) -> NodeFetch | None:
    """None where the fetcher is of a version that does not report it."""
    state = pod.verified
    if state is None or state.seconds is None or state.fetched_bytes is None:
        return None
    return NodeFetch.model_validate(
        {
            "name": pod.node,
            "result": _result(state),
            "seconds": round(state.seconds),
            "fetchedBytes": state.fetched_bytes,
        }
    )


def _result(state: FetchReport) -> str:
    if state.fetched_bytes or state.cache_hit is False:
        return "Fetched"
    return "Waited" if state.waiting_for_pod else "Hit"


def _in_words(fetch: NodeFetch) -> str:
    if fetch.result == "Hit":
        return f"The model was already on node {fetch.name}."
    if fetch.result == "Waited":
        return f"Another pod fetched the model to node {fetch.name}; this pod waited {_duration(fetch)}."
    return f"Fetched the model to node {fetch.name}: {amount(fetch.fetched_bytes)} in {_duration(fetch)}."


def _duration(fetch: NodeFetch) -> str:
    return words(max(1, fetch.seconds))


def _listed(pod_names: list[str]) -> str:
    more = f" and {len(pod_names) - _PODS_LISTED} more" if len(pod_names) > _PODS_LISTED else ""
    return ", ".join(pod_names[:_PODS_LISTED]) + more
