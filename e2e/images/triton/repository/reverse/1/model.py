"""Answers a text with its letters in reverse."""

from typing import Any

import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    """What Triton's Python backend looks for."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer per request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        [text] = triton.get_input_tensor_by_name(request, "INPUT").as_numpy()
        reverse = np.array([text.decode()[::-1]], dtype=np.object_)
        return triton.InferenceResponse([triton.Tensor("OUTPUT", reverse)])
