"""Whether a Triton model is decoupled, by its configuration (docs/protocol/extension_model_configuration.md in
https://github.com/triton-inference-server/server). Nothing of the answer is trusted.
"""

import json
from collections.abc import Iterable
from urllib.parse import quote

from modelyard.integrations.engines.metrics import DecoupledModels
from modelyard.integrations.signals.engine_pod import EnginePod
from modelyard.integrations.signals.pod_http import PodClient

SIZE_LIMIT_BYTES = 256 * 1024
"""Longest answer that is read, headers included."""

CONFIGURATIONS_AT_ONCE = 4
"""Models of one server whose configuration is looked up in one call."""

MODELS_LIMIT = 64
"""Most models of a server that are looked up; where there are more, what depends on it is unknown."""

NAME_LIMIT = 256
"""Longest name of a model that is looked up."""


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


def looked_up(models: Iterable[str | None]) -> frozenset[str] | None:
    """The models of a server, by the labels of its metrics; None where they are too many, or named too long."""
    found = frozenset(model or "" for model in models)
    return None if len(found) > MODELS_LIMIT or any(len(model) > NAME_LIMIT for model in found) else found


class ModelConfigurations:
    """Looks up, once for each model of a pod, whether it is decoupled."""

    def __init__(self, client: PodClient) -> None:
        self._client = client
        self._decoupled: dict[str, dict[str, bool]] = {}

    def forget(self, uids: Iterable[str]) -> None:
        """Drop what is known of these pods."""
        for uid in uids:
            self._decoupled.pop(uid, None)

    async def any_decoupled(self, pod: EnginePod, models: frozenset[str] | None) -> bool | None:
        """Whether one of ``models`` is decoupled. None until that is known of each: a call looks up a few."""
        how = pod.metrics.decoupled_models
        if models is None or how is None:
            return None if how else False
        known = self._decoupled.setdefault(pod.uid, {})
        for model in sorted(models - known.keys())[:CONFIGURATIONS_AT_ONCE]:
            decoupled = await self._read(pod.ip, how, model)
            if decoupled is None:
                break  # the others would wait as long
            known[model] = decoupled
        if any(known.get(model) for model in models):
            return True
        return False if models <= known.keys() else None

    async def _read(self, pod_ip: str, how: DecoupledModels, model: str) -> bool | None:
        path = how.path.format(model=quote(model, safe=""))
        return is_decoupled(await self._client.ask(pod_ip, how.port, path, size_limit_bytes=SIZE_LIMIT_BYTES))
