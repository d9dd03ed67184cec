"""Whether a Triton model is decoupled, by its configuration (docs/protocol/extension_model_configuration.md in
https://github.com/triton-inference-server/server). Nothing of the answer is trusted.
"""

import json
from urllib.parse import quote

from modelyard.integrations.engines.metrics import DecoupledModels
from modelyard.integrations.signals.pod_http import PodClient

SIZE_LIMIT_BYTES = 256 * 1024
"""Longest answer that is read, headers included."""


def is_decoupled(text: bytes | None) -> bool | None:
    """Whether a configuration is that of a decoupled model; None where it is no configuration."""
    try:
        configuration = json.loads(text or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(configuration, dict) or not isinstance(configuration.get("name"), str):
        return None
    policy = configuration.get("model_transaction_policy", {})
    return isinstance(policy, dict) and policy.get("decoupled") is True


async def read(pods: PodClient, pod_ip: str, models: DecoupledModels, model: str) -> bool | None:
    """Whether ``model`` on the server at ``pod_ip`` is decoupled; None without a valid response in time."""
    path = models.path.format(model=quote(model, safe=""))
    return is_decoupled(await pods.ask(pod_ip, models.port, path, size_limit_bytes=SIZE_LIMIT_BYTES))
