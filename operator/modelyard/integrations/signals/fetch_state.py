"""Reads the report of a pod's fetcher (contract/fetch_report.py)."""

from modelyard.contract import names
from modelyard.contract.fetch_report import SIZE_LIMIT_BYTES, FetchReport, parse
from modelyard.integrations.signals.pod_http import PodClient

ANSWER_LIMIT_BYTES = SIZE_LIMIT_BYTES + 4096
"""Longest answer that is read: a report and its headers."""


async def read(pods: PodClient, pod_ip: str, port: int = names.FETCH_STATE_PORT) -> FetchReport | None:
    """What the fetcher at ``pod_ip`` reports now; None when it gives no usable answer in time."""
    return parse(await pods.ask(pod_ip, port, size_limit_bytes=ANSWER_LIMIT_BYTES))
