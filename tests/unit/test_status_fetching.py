"""The model on its way to the node."""

from modelyard.contract.fetch_report import FetchFailure, FetchReport, Phase, Reason
from tests.support.observed import (
    World,
    a_service,
    conditions,
    ended,
    pod,
    running,
    waiting,
)

UID = "uid-of-smollm-1"
FETCHING = running(30)


def fetching(state: FetchReport | None, **fields: object) -> World:
    return World(pod(fetch=FETCHING, **fields), states={UID: state})  # type: ignore[arg-type] # any field of a pod


UNDER_WAY = {
    "the source is listed": (fetching(FetchReport(phase=Phase.LISTING)), "Fetching", "listing the source"),
    "a third is fetched": (
        fetching(FetchReport(phase=Phase.DOWNLOADING, bytes_done=90_000_000, bytes_total=270_000_000)),
        "Fetching",
        "30 % of 270 MB",
    ),
    "another pod of the node fetches": (
        fetching(FetchReport(phase=Phase.WAITING, bytes_done=104, bytes_total=260, waiting_for_pod="uid-of-another")),
        "Fetching",
        "another pod on node worker-1 is fetching it, 40 % of 260 B",
    ),
    "the model is published": (fetching(FetchReport(phase=Phase.PUBLISHING)), "Fetching", "verifying and publishing"),
    "unknown sizes": (fetching(FetchReport(phase=Phase.DOWNLOADING)), "Fetching", "progress unknown"),
    "a fetcher that does not answer in its first seconds": (
        World(pod(fetch=running(15))),
        "Fetching",
        "progress unknown",
    ),
    "a fetcher that never answers": (
        fetching(None),
        "FetcherUnreachable",
        "(over 30 s), but the operator cannot reach port 9470 of pod smollm-1, so its progress is unknown.",
    ),
    "a retry that got further than the crash before it": (
        fetching(FetchReport(phase=Phase.DOWNLOADING, bytes_done=1, bytes_total=10), fetch_last=ended(1, "boom")),
        "Fetching",
        "0 % of",
    ),
    "a large model is fetched": (
        fetching(FetchReport(phase=Phase.DOWNLOADING, bytes_done=6, bytes_total=10), begun_s=9999),
        "Fetching",
        "60 %",
    ),
}

PROBLEMS = {
    "an error that the fetcher reports": (
        fetching(
            FetchReport(
                phase=Phase.RETRYING, error=FetchFailure(Reason.ACCESS_DENIED, "The store refuses. Grant s3:GetObject.")
            )
        ),
        "AccessDenied",
        "The store refuses. Grant s3:GetObject.",
        "",
    ),
    "an error that an end of the fetcher reported, before it tries again": (
        fetching(
            None,
            fetch_last=ended(
                1, '{"phase": "Retrying", "error": {"reason": "CredentialsMissing", "message": "No Secret."}}'
            ),
        ),
        "CredentialsMissing",
        "No Secret. The fetcher has been restarted and is trying again, but its progress is unknown",
        "set spec.networkPolicy",
    ),
    "such an error while the kubelet waits to restart the fetcher": (
        World(
            pod(
                fetch=waiting("CrashLoopBackOff", "back-off 20s restarting failed container=modelyard-fetch"),
                fetch_last=ended(
                    1, '{"phase": "Retrying", "error": {"reason": "CredentialsMissing", "message": "No."}}'
                ),
            )
        ),
        "CredentialsMissing",
        "The kubelet restarts it at about",
        "",
    ),
    "an error that the fetcher reported at its end": (
        World(
            pod(
                fetch=waiting("CrashLoopBackOff"),
                fetch_last=ended(1, '{"phase": "Failed", "error": {"reason": "DigestMismatch", "message": "Other."}}'),
            )
        ),
        "DigestMismatch",
        "Other.",
        "",
    ),
    "a source that holds another content than the revision began with": (
        fetching(
            FetchReport(phase=Phase.FAILED, error=FetchFailure(Reason.SOURCE_CHANGED, "Set a new spec.model.revision."))
        ),
        "SourceChanged",
        "Set a new spec.model.revision.",
        "",
    ),
    "a model larger than the node's cache": (
        fetching(
            FetchReport(error=FetchFailure(Reason.BUDGET_TOO_SMALL, "The model has 900 GB, the cache holds 500 GB."))
        ),
        "BudgetTooSmall",
        "900 GB",
        "",
    ),
    "an error that the fetcher made up": (
        fetching(FetchReport(error=FetchFailure(None, "all is well"))),
        "FetchFailed",
        "all is well",
        "logs smollm-1 -c modelyard-fetch",
    ),
    "a fetcher during the kubelet's back-off": (
        World(
            pod(
                fetch=waiting("CrashLoopBackOff", "back-off 1m20s restarting failed container=modelyard-fetch"),
                fetch_last=ended(2, "Traceback: boom", since_s=20),
            )
        ),
        "FetchFailed",
        "boom",
        "The kubelet restarts it at about 2026-11-22T12:01:00Z.",
    ),
    "a fetcher that crashed": (
        World(pod(fetch=waiting("CrashLoopBackOff"), fetch_last=ended(2, "Traceback: boom"))),
        "FetchFailed",
        "exit code 2: Traceback: boom",
        "",
    ),
    "a fetcher that crashed, at its next attempt": (
        fetching(FetchReport(phase=Phase.LISTING), fetch_last=ended(2, "Traceback: boom")),
        "FetchFailed",
        "exit code 2",
        "",
    ),
    "a fetcher killed for memory": (
        World(pod(fetch=waiting("CrashLoopBackOff"), fetch_last=ended(137, reason="OOMKilled"))),
        "OutOfMemory",
        "Container modelyard-fetch",
        "spec.resources",
    ),
    "a fetch that reports nothing and takes too long": (
        fetching(None, begun_s=1900),
        "StartTimeout",
        "still fetching",
        "",
    ),
}


def test_a_fetchers_error_stays_while_its_port_does_not_answer() -> None:
    first = fetching(FetchReport(error=FetchFailure(Reason.ACCESS_DENIED, "Refused."))).verdict()
    assert fetching(None).verdict(first.status).status == first.status


def test_a_fetchers_error_does_not_outlive_the_spec_that_it_was_about() -> None:
    first = fetching(FetchReport(error=FetchFailure(Reason.ACCESS_DENIED, "Refused."))).verdict()
    corrected = World(pod(fetch=running(5)), service=a_service(generation=4)).verdict(first.status)
    assert conditions(corrected)["Ready"]["reason"] == "Fetching"


def test_a_fetchers_error_is_gone_once_the_download_runs() -> None:
    first = fetching(FetchReport(error=FetchFailure(Reason.ACCESS_DENIED, "Refused."))).verdict()
    cured = fetching(FetchReport(phase=Phase.DOWNLOADING, bytes_done=0, bytes_total=10)).verdict(first.status)
    assert conditions(cured)["Ready"]["reason"] == "Fetching"
    assert conditions(cured)["ModelCached"]["reason"] == "Fetching"


def test_progress_changes_the_status_in_steps_only() -> None:
    def message(done: int) -> str:
        state = FetchReport(phase=Phase.DOWNLOADING, bytes_done=done, bytes_total=100)
        return str(conditions(fetching(state).verdict())["Ready"]["message"])

    assert len({message(done) for done in range(101)}) == 11


def test_a_fetcher_that_answered_before_keeps_its_reason_while_it_is_silent() -> None:
    first = fetching(FetchReport(phase=Phase.DOWNLOADING, bytes_done=6, bytes_total=10)).verdict()
    later = fetching(None).verdict(first.status)
    assert conditions(later)["Ready"]["reason"] == "Fetching"
    assert "60 %" in conditions(later)["Ready"]["message"]


def test_a_fetcher_that_never_answered_is_unreachable_once_it_should_have() -> None:
    first = World(pod(fetch=running(15)), states={UID: None}).verdict()
    later = fetching(None).verdict(first.status)
    assert conditions(later)["Ready"]["reason"] == "FetcherUnreachable"
