"""Streams the numbers from 1 to the one that is asked for, ten a second."""

import threading
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

INTERVAL_S = 0.1


class TritonPythonModel:
    """What Triton's Python backend looks for."""

    def execute(self, requests: list[Any]) -> None:
        """Answers go through each request's sender, from a thread of its own, so that streams run side by side."""
        for request in requests:
            [upto] = triton.get_input_tensor_by_name(request, "UPTO").as_numpy()
            threading.Thread(target=self._stream, args=(request.get_response_sender(), int(upto))).start()

    def _stream(self, sender: Any, upto: int) -> None:
        for number in range(1, upto + 1):
            answer = triton.Tensor("NUMBER", np.array([number], dtype=np.int32))
            sender.send(triton.InferenceResponse([answer]))
            time.sleep(INTERVAL_S)
        sender.send(flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
