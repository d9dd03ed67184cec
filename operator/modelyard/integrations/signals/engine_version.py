"""The version of vLLM that a pod's server reports: ``GET /version`` answers ``{"version": "0.32.0"}``.

Read where neither the spec nor the image's name has it. The pod belongs to a tenant, so its answer is checked.
"""

import json
import re

from modelyard.integrations.signals.pod_http import PodClient

PATH = "/version"
SIZE_LIMIT_BYTES = 4096

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,62}")


def parse(text: str | bytes | None) -> str | None:
    """The version in ``text``; None for anything else."""
    try:
        fields = json.loads(text or b"")
    except (ValueError, RecursionError):
        return None
    version = fields.get("version") if isinstance(fields, dict) else None
    return version if isinstance(version, str) and _VERSION.fullmatch(version) else None


async def read(pods: PodClient, address: str) -> str | None:
    """The version that the engine at ``address`` (ip:port) reports; None when it gives no usable answer in time."""
    pod_ip, _, port = address.rpartition(":")
    return parse(await pods.ask(pod_ip, int(port), PATH, size_limit_bytes=SIZE_LIMIT_BYTES))
