"""The engines that can serve a model, one file each, and their registry."""

from modelyard.contract.errors import InvalidError
from modelyard.integrations.engines.base import Engine
from modelyard.integrations.engines.triton import Triton
from modelyard.integrations.engines.vllm import Vllm

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (Vllm(), Triton())}
"""``engine.type`` -> engine. One file and one entry here are all that a new engine needs."""


def engine_of(name: str) -> Engine:
    """The engine of that name. Raises InvalidError (UnknownEngine), which lists the known ones."""
    if name not in ENGINES:
        known = ", ".join(sorted(ENGINES))
        raise InvalidError(
            "UnknownEngine", f"spec.engine.type {name!r} is not a supported engine. Use one of: {known}."
        )
    return ENGINES[name]
