"""modelyard's own policy, with its defaults: it is tuned on nothing."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

_MODULES = ("modelyard.scaling.decide", "modelyard.scaling.memory")


def _made(_: object) -> tuple[Any, Any]:
    decide, memory = (importlib.import_module(name) for name in _MODULES)
    return decide.decide, memory.Memory()


OURS_SETTINGS: Mapping[str, Callable[[object], tuple[Any, Any]]] = (
    {"defaults": _made} if all(importlib.util.find_spec(name) for name in _MODULES) else {}
)
