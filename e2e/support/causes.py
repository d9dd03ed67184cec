"""Things that go wrong with a service, made for real: what its status must report of each, and what cures it.

A status that never lies shows one story of a cause: first what is under way, then the cause's reason and nothing else
until the cure, then what is under way, then that all is well. It is Ready at no moment before, and no reason comes back
that was gone.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import pytest

from e2e.support.kubectl import Kubectl, Object
from e2e.support.stories import UNDER_WAY, Moment, Stories, stories

Act = Callable[[Kubectl], object]

TOOK = "took"
"""Property of a test's report: a cause, its reason, and the seconds that it took."""

WITHIN_S = 60
"""A reason is reported so long after its cause, and gone so long after its cure."""
MOUNT_REFRESHED_S = 150
"""The same where the kubelet must first refresh a mounted Secret or ConfigMap, which takes it a minute and more."""
NODE_IS_BEHIND = frozenset({"NodeRefused"})
"""True for a moment after a node changed: its kubelet admits pods by its own view of labels, taints and
devices, which follows the scheduler's (seen: a pod refused by NodeAffinity right after its node got the label)."""

READY_S = 240
"""Longest time from a cure to an answering pod on a busy machine with two cores."""


@dataclass(frozen=True)
class Cause:
    """One thing that goes wrong: ``what`` in words, and the ``service`` that meets it, made when it is applied.

    ``words``: what the message must have, so that it names the thing and the remedy. ``before`` is done before the
    service is applied. ``meanwhile``: other problems that are true on the way to this one, or away from it, as one
    crash before a loop. ``after_cure``: the same, on the way away only.
    ``healthy`` is Ready's reason in the end.
    """

    what: str
    service: Callable[[], Object]
    reason: str
    words: tuple[str, ...]
    cure: Act
    before: Act | None = None
    meanwhile: frozenset[str] = frozenset()
    after_cure: frozenset[str] = frozenset()
    reason_within_s: float = WITHIN_S
    gone_within_s: float = WITHIN_S
    holds_s: float = 0
    healthy: str = "Ready"

    def __str__(self) -> str:
        return self.what.replace(" ", "-")


@dataclass(frozen=True)
class Took:
    """Seconds from the cause to its reason, from the cure to the reason's end, and from the cure to health."""

    reported_s: float
    gone_s: float
    healthy_s: float


def applies(*bodies: Object | Callable[[], Object]) -> Act:
    """The cure that is a changed or a new object."""
    return lambda kubectl: kubectl.apply(*(body() if callable(body) else body for body in bodies))


def deletes(*subjects: str) -> Act:
    """The cure that is an object's removal."""
    return lambda kubectl: kubectl.run("delete", *subjects, "--wait=true")


def play(cause: Cause, kubectl: Kubectl, watched: Stories) -> Took:
    """Make the cause, see its reason, apply the cure, see the recovery, and judge the whole story.

    Nothing of the service is left, also where it fails: its pods would take the room of the next ones.
    """
    if cause.before:
        cause.before(kubectl)
    body = cause.service()
    name = str(body["metadata"]["name"])
    made_s = time.monotonic()
    kubectl.apply(body)
    try:
        return _played(cause, name, made_s, kubectl, watched)
    finally:
        kubectl.run("delete", f"infsvc/{name}", "--cascade=foreground", "--wait=true")


def _played(cause: Cause, name: str, made_s: float, kubectl: Kubectl, watched: Stories) -> Took:
    def is_reported(moment: Moment) -> bool:
        reason, message = moment.reports()
        return reason == cause.reason and all(part in message for part in cause.words)

    seen = watched.first(name, is_reported, since_s=made_s, within_s=cause.reason_within_s)
    watched.stays(name, lambda m: m.reports()[0] == cause.reason, for_s=cause.holds_s)

    cured_s = time.monotonic()
    cause.cure(kubectl)
    gone = watched.first(name, lambda m: m.reports()[0] != cause.reason, since_s=cured_s, within_s=cause.gone_within_s)
    healthy = watched.first(name, lambda m: m.reports()[0] == cause.healthy, since_s=cured_s, within_s=READY_S)
    judge(cause, [m for m in watched.of(name) if m.at_s <= healthy.at_s], cured_s)
    return Took(seen.at_s - made_s, gone.at_s - cured_s, healthy.at_s - cured_s)


def judge(cause: Cause, moments: Sequence[Moment], cured_s: float) -> None:
    """Raise AssertionError unless the moments show the one story that is true."""
    before = [m for m in moments if m.at_s < cured_s]
    after = [m for m in moments if m.at_s >= cured_s]
    assert not [m for m in before if m.is_ready], "Ready before the cure"
    assert not [m for m in moments if m.is_contradictory], "Reconciling and Stalled at once"
    story = [reason for reason, _ in groupby(m.reports()[0] for m in before)]
    untrue = {*story[:-1]} - UNDER_WAY - cause.meanwhile - {""}
    assert not untrue, f"it reported {untrue} before {cause.reason}: {story}"
    assert story[-1:] == [cause.reason], f"the reason came and went: {story}"
    recovery = [reason for reason, _ in groupby([cause.reason, *(m.reports()[0] for m in after)])]
    untrue = {*recovery[1:]} - UNDER_WAY - cause.meanwhile - cause.after_cure - {cause.healthy}
    assert not untrue, f"it reported {untrue} after the cure: {recovery}"


def record(took: Took, cause: Cause, request: pytest.FixtureRequest) -> None:
    """Put the seconds into the test's report, for the table at the end of the run."""
    row = [cause.what, cause.reason, took.reported_s, took.gone_s, took.healthy_s]
    request.node.user_properties.append((TOOK, row))


def play_alone(cause: Cause, kubectl: Kubectl, request: pytest.FixtureRequest) -> None:
    """Play a cause in a namespace in which nothing else goes on, and put the seconds into the test's report."""
    with stories(kubectl) as watched:
        record(play(cause, kubectl, watched), cause, request)


@contextmanager
def side_by_side(kubectl: Kubectl, causes: Sequence[Cause], at_once: int) -> Iterator[Mapping[str, Future[Took]]]:
    """Play all causes in one namespace, so many at a time; the results by ``what``. They mostly wait."""
    with stories(kubectl) as watched, ThreadPoolExecutor(at_once) as threads:
        yield {cause.what: threads.submit(play, cause, kubectl, watched) for cause in causes}


def selected(request: pytest.FixtureRequest, causes: Sequence[Cause]) -> list[Cause]:
    """Those of the module's causes whose tests run."""
    params = [
        item.callspec.params.get("cause")
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    ]
    return [cause for cause in causes if cause in params]
