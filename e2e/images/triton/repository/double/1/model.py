"""Answers each number with its double, after as many seconds as the request's parameter `seconds` says."""

import json
import time
from typing import Any

import triton_python_backend_utils as triton


class TritonPythonModel:
    """What Triton's Python backend looks for."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer per request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        time.sleep(json.loads(request.parameters()).get("seconds", 0))
        numbers = triton.get_input_tensor_by_name(request, "INPUT").as_numpy()
        return triton.InferenceResponse([triton.Tensor("OUTPUT", numbers * 2)])
