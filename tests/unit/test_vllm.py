"""vLLM's command line and environment."""

from typing import Any

import pytest

from modelyard.engines import vllm
from modelyard.errors import InvalidError
from tests.support.factories import service
from tests.support.rendering import engine_command, engine_container, engine_flags, environment

CPU = {"type": "cpu"}


def _command(**spec: Any) -> list[str]:
    return engine_command(engine_container(service(**spec)))


def test_the_model_is_served_from_its_mount_under_its_name() -> None:
    command = _command(model={"uri": "s3://models/llama", "name": "llama-3"})
    assert command[:3] == ["vllm", "serve", "/model"]
    assert "--served-model-name=llama-3" in command


def test_without_a_name_the_model_is_called_as_the_service_is() -> None:
    assert "--served-model-name=smollm" in _command()


def test_draining_is_as_long_as_the_spec_says() -> None:
    assert "--shutdown-timeout=7" in _command(drain={"timeoutSeconds": 7})


@pytest.mark.parametrize(
    ("engine", "drains"),
    [
        ({"image": "vllm/vllm-openai:v0.17.1"}, False),
        ({"image": "vllm/vllm-openai:v0.18.0"}, True),
        ({"image": "vllm/vllm-openai:v0.17.1", "version": "0.18.0"}, True),
        ({"image": "company/vllm:v0.18.0", "version": "0.17.0"}, False),
        ({"image": "company/vllm:stable"}, True),
    ],
)
def test_only_versions_that_can_drain_are_asked_to(engine: dict[str, str], drains: bool) -> None:
    assert ("--shutdown-timeout=60" in _command(engine=engine)) is drains


@pytest.mark.parametrize(
    ("accelerator", "expected"),
    [({}, None), ({"count": 1}, None), ({"count": 8}, "--tensor-parallel-size=8"), (CPU, None)],
)
def test_tensor_parallelism_follows_from_several_accelerators(
    accelerator: dict[str, Any], expected: str | None
) -> None:
    parallel = [flag for flag in _command(accelerator=accelerator) if "parallel" in flag]
    assert parallel == ([expected] if expected else [])


@pytest.mark.parametrize("flag", ["--pipeline-parallel-size=4", "-pp=4", "--data_parallel_size=4", "-dp", "-tp=2"])
def test_a_user_who_divides_the_accelerators_does_so_alone(flag: str) -> None:
    assert not [f for f in _command(accelerator={"count": 4}, engine={"args": [flag]}) if "tensor" in f]


def test_on_cpu_nothing_is_compiled_unless_the_user_wants_it() -> None:
    assert "--enforce-eager" in _command(accelerator=CPU)
    assert "--enforce-eager" not in _command(accelerator=CPU, engine={"args": ["--no-enforce-eager"]})
    assert "--enforce-eager" not in _command()


@pytest.mark.parametrize(
    ("resources", "gib"),
    [
        ({}, "1"),
        ({"requests": {"memory": "2Gi"}}, "1"),
        ({"requests": {"memory": "16Gi"}}, "4"),
        ({"limits": {"memory": "16Gi"}}, "4"),
        ({"requests": {"memory": 8 * 2**30}, "limits": {"memory": "64Gi"}}, "2"),
    ],
)
def test_on_cpu_the_kv_cache_is_a_quarter_of_the_memory(resources: dict[str, Any], gib: str) -> None:
    container = engine_container(service(accelerator=CPU, resources=resources))
    assert environment(container)["VLLM_CPU_KVCACHE_SPACE"] == gib


@pytest.mark.parametrize("flag", ["--kv-cache-memory-bytes=1000000000", "--gpu_memory_utilization=0.5"])
def test_on_cpu_a_users_flag_for_the_kv_cache_is_not_overruled_by_a_variable(flag: str) -> None:
    container = engine_container(service(accelerator=CPU, engine={"args": [flag]}))
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment(container)


def test_with_a_gpu_there_are_no_variables_for_a_processor() -> None:
    assert not {"VLLM_CPU_KVCACHE_SPACE", "OMP_NUM_THREADS"} & environment(engine_container(service())).keys()


@pytest.mark.parametrize(
    "argument", ["--model=/other", "--port", "--port=80", "--uds=/tmp/x", "--grpc", "--headless", "--ssl-keyfile=/k"]
)
def test_an_argument_that_would_break_the_service_is_refused_by_name(argument: str) -> None:
    with pytest.raises(InvalidError, match=f"may not hold {argument.partition('=')[0]}:.*Remove it") as refused:
        engine_container(service(engine={"args": ["--max-model-len=1", argument]}))
    assert refused.value.reason == "EngineArgumentRefused"


def test_a_model_as_first_argument_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"may not hold facebook/opt-125m: .*spec\.model says it"):
        engine_container(service(engine={"args": ["facebook/opt-125m"]}))


def test_every_flag_that_we_know_of_is_one_that_vllm_has() -> None:
    known = {*vllm._FIXED, *vllm._PARALLELISM, *vllm._KV_CACHE_SIZE}
    known |= {"--no-disable-uvicorn-access-log", "--disable-access-log-for-endpoints", "--no-enforce-eager"}
    assert known - engine_flags("vllm") == set()
