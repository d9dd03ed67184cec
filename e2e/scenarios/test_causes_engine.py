"""Engines that end before they serve: the stand-in ends as the real one does, in the words of its recorded logs."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial

import pytest

from e2e.conftest import namespace_for
from e2e.support.causes import WITHIN_S, Cause, Took, applies, record, selected, side_by_side
from e2e.support.kubectl import Object
from e2e.support.services import S3_ENDPOINT, light

THREE_RESTARTS_S = 120
"""The kubelet waits 10, 20 and 40 seconds between the first runs of a container that ends."""
LONGEST_START_S = 40
HOLDS_S = 15
"""Long enough for one more run, which might look like a start that goes well."""

CUDA = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of 21.98 GiB "
    "of which 31.44 MiB is free. Including non-PyTorch memory, this process has 21.95 GiB memory in use."
)
"""In the form that PyTorch documents (notes/cuda, "Optimizing memory usage")."""
KV_CACHE = (
    "ValueError: To serve at least one request with the model's max seq len (8192), (0.18 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (0.02 GiB). Based on the available memory, the estimated "
    "maximum model length is 896."
)
"""From tests/recordings/vllm/logs/kv-cache-too-small.log."""


def _environment(**variables: str) -> Object:
    return {"env": [{"name": f"STANDIN_{name.upper()}", "value": value} for name, value in variables.items()]}


def _memory(limit: str) -> Object:
    return {"requests": {"cpu": "20m", "memory": "4Mi"}, "limits": {"memory": limit}}


def _fails(
    what: str, name: str, reason: str, words: tuple[str, ...], *, engine: Object | None = None, **spec: object
) -> Cause:
    """An engine that does not come up because of the spec, and does with it put right."""
    broken = partial(light, name, engine=engine, **spec)
    # The runtime was seen to report the first kill for lack of memory without its cause.
    meanwhile = frozenset({"EngineFailed"} if reason == "OutOfMemory" else ())
    return Cause(what, broken, reason, words, applies(partial(light, name)), meanwhile=meanwhile, holds_s=HOLDS_S)


TRUNCATED = {
    "uri": "s3://models/tiny-truncated",
    "credentials": {"secretName": "s3-read"},
    "s3": {"endpoint": S3_ENDPOINT},
}

CAUSES = (
    Cause(
        "an engine that ends for a cause of its own",
        partial(light, "loops", engine=_environment(load_error="RuntimeError: the drum is out of beat")),
        "CrashLooping",
        ("most recently with code 1", "RuntimeError: the drum is out of beat", "logs"),
        applies(partial(light, "loops")),
        meanwhile=frozenset({"EngineFailed"}),
        reason_within_s=THREE_RESTARTS_S,
    ),
    _fails(
        "weights that are cut off", "cut", "ModelNotLoadable", ("SafetensorError", "spec.model.uri"), model=TRUNCATED
    ),
    _fails(
        "weights that the GPU does not hold",
        "gpu-memory",
        "AcceleratorOutOfMemory",
        ("CUDA out of memory. Tried to allocate 224.00 MiB", "spec.accelerator.count"),
        engine=_environment(load_error=CUDA),
    ),
    _fails(
        "a context that the KV cache does not hold",
        "kv-cache",
        "KvCacheTooSmall",
        ("estimated maximum model length is 896", "--max-model-len"),
        engine=_environment(load_error=KV_CACHE),
    ),
    _fails(
        "a limit that the weights exceed",
        "host-memory",
        "OutOfMemory",
        ("OOMKilled", "spec.resources"),
        engine=_environment(load_mib="200", load_s="2"),
        resources=_memory("96Mi"),
    ),
    _fails(
        "a limit in which nothing starts",
        "no-memory",
        "OutOfMemory",
        ("memory", "spec.resources"),
        resources=_memory("4Mi"),
    ),
    _fails(
        "a flag that the engine does not know",
        "flag",
        "BadArgument",
        ("--no-such-flag", "spec.engine.args"),
        engine={"args": ["--no-such-flag"]},
    ),
    Cause(
        "a start that takes longer than it may",
        partial(light, "slow", engine=_environment(load_s="600"), startup={"timeoutSeconds": LONGEST_START_S}),
        "StartTimeout",
        (f"spec.startup.timeoutSeconds ({LONGEST_START_S} s)", "loading the model"),
        applies(partial(light, "slow")),
        reason_within_s=LONGEST_START_S + WITHIN_S,
        holds_s=HOLDS_S,
    ),
)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Took]]]:
    for namespace in namespace_for(request):
        with side_by_side(namespace, selected(request, CAUSES), at_once=3) as results:
            yield results


@pytest.mark.parametrize("cause", CAUSES, ids=str)
def test_an_engine_that_does_not_start_is_reported_in_its_own_words_and_is_never_ready(
    cause: Cause, played: Mapping[str, Future[Took]], request: pytest.FixtureRequest
) -> None:
    record(played[cause.what].result(), cause, request)
