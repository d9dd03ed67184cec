"""Clients of KServe's V2 inference protocol, which Triton speaks over HTTP and gRPC."""

import json
import struct
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import grpc

TIMEOUT_S = 60
_messages, _services = grpc.protos_and_services("e2e/support/inference.proto")


def infer(url: str, model: str, values: Sequence[Any], *, datatype: str) -> list[Any]:
    """The one output of the model for its one input, over HTTP. Raises HTTPError with the server's answer."""
    given = {"name": "INPUT", "datatype": datatype, "shape": [len(values)], "data": list(values)}
    answer = json.loads(_post(f"{url}/v2/models/{model}/infer", {"inputs": [given]}).read())
    output: list[Any] = answer["outputs"][0]["data"]
    return output


def stream(url: str, model: str, **inputs: Any) -> Iterator[Any]:
    """The model's answers as they come, over HTTP."""
    for line in _post(f"{url}/v2/models/{model}/generate_stream", inputs):
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def infer_by_grpc(url: str, model: str, numbers: Sequence[float]) -> list[float]:
    """As ``infer``, of 32-bit numbers, over gRPC at the URL's host and port."""
    given = _messages.ModelInferRequest.Input(name="INPUT", datatype="FP32", shape=[len(numbers)])
    raw = struct.pack(f"<{len(numbers)}f", *numbers)
    request = _messages.ModelInferRequest(model_name=model, inputs=[given], raw_input_contents=[raw])
    with grpc.insecure_channel(urlsplit(url).netloc) as channel:
        answer = _services.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=TIMEOUT_S)
    return list(struct.unpack(f"<{len(numbers)}f", answer.raw_output_contents[0]))


def _post(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    return urllib.request.urlopen(request, timeout=TIMEOUT_S)
