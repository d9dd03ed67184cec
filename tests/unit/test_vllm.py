"""vLLM's command line and environment."""

import re
from typing import Any

import pytest

from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.integrations.engines import vllm
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


@pytest.mark.parametrize(
    ("users", "ours"),
    [([], ["--ipv6-argument=--host=::", "--dual-stack"]), (["--host=10.0.0.1"], []), (["--hos=::"], [])],
)
def test_it_listens_on_ipv6_too_unless_the_user_names_an_address(users: list[str], ours: list[str]) -> None:
    container = engine_container(service(engine={"type": "vllm", "args": users}))
    options = container["command"][: container["command"].index("--")]
    assert [option for option in options if "ipv6" in option or "stack" in option] == ours
    assert any(variable["name"] == names.ENV_POD_IPS for variable in container["env"]) is bool(ours)


def test_draining_lasts_as_long_as_the_spec_sets() -> None:
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
def test_only_versions_that_can_drain_get_the_flag(engine: dict[str, str], drains: bool) -> None:
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


def test_on_cpu_nothing_is_compiled_unless_the_user_enables_it() -> None:
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
    ("version", "left_out"),
    [
        ("0.6.3", {"--shutdown-timeout=60", "--disable-uvicorn-access-log"}),
        ("0.8.1", {"--shutdown-timeout=60", "--disable-uvicorn-access-log"}),
        ("0.8.2", {"--shutdown-timeout=60"}),
        ("0.17.9", {"--shutdown-timeout=60"}),
        ("0.18.0", set()),
    ],
)
def test_flags_that_a_version_does_not_know_are_left_out(version: str, left_out: set[str]) -> None:
    image = f"vllm/vllm-openai:v{version}"
    newest = _command()
    assert _command(engine={"image": image}) == [argument for argument in newest if argument not in left_out]
    assert _command(engine={"image": "mine", "version": version}) == _command(engine={"image": image})


def test_an_image_of_unknown_version_has_every_flag_and_the_launcher_learns_which_ones_are_new() -> None:
    container = engine_container(service(engine={"image": "lmcache/vllm-openai:v0.3.9"}))
    assert engine_command(container) == _command()
    launcher = container["command"][: container["command"].index("--")]
    assert launcher[-3:] == [
        "--package=vllm",
        "--since=0.8.2:--disable-uvicorn-access-log",
        "--since=0.18.0:--shutdown-timeout=60",
    ]


def test_flags_that_the_user_sets_are_never_left_out() -> None:
    args = ["--shutdown-timeout=60", "--no-disable-uvicorn-access-log"]
    container = engine_container(service(engine={"image": "mine", "args": args}))
    assert not [argument for argument in container["command"] if argument.startswith(("--since", "--package"))]
    assert engine_command(container)[-2:] == args


def test_a_version_that_is_known_leaves_the_launcher_nothing_to_look_up() -> None:
    assert not [argument for argument in engine_container(service())["command"] if argument.startswith("--package")]


@pytest.mark.parametrize(
    "argument",
    [
        "--model=/other",
        "--port",
        "--port=80",
        "--uds=/tmp/x",
        "--grpc",
        "--headless",
        "--ssl-keyfile=/k",
        "--config=/etc/vllm.yaml",
        "--help=all",
        "-h",
        "--mod=/other",
        "--por=80",
        "--ssl-k=/k",
        "--head",
        "--conf=/etc/vllm.yaml",
    ],
)
def test_an_argument_that_would_break_the_service_is_refused_by_name(argument: str) -> None:
    with pytest.raises(InvalidError, match=f"must not contain {argument.partition('=')[0]}[:,].*Remove it") as refused:
        engine_container(service(engine={"args": ["--max-model-len=1", argument]}))
    assert refused.value.reason == "EngineArgumentRefused"


def test_a_model_as_first_argument_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"must not contain facebook/opt-125m: .*set spec\.model instead"):
        engine_container(service(engine={"args": ["facebook/opt-125m"]}))


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--tensor-parallel-size=4"], 4),
        (["--tensor-parallel-size", "4"], 4),
        (["--tensor_parallel_size=4"], 4),
        (["--tensor-p=4"], 4),
        (["-tp", "2", "-pp=2"], 4),
        (["-tp=1", "-dp", "3"], 3),
        (["-tp=1", "-tp=4"], 4),
        (["-tp=2", "-pcp=2"], 4),
        (["-tp=16", "--distributed-executor-backend=ray"], 16),
        (["-dp=16", "--data-parallel-backend=ray"], 16),
    ],
)
def test_more_parallel_parts_than_accelerators_are_refused_with_both_numbers(args: list[str], parts: int) -> None:
    message = rf"they need {parts}, but spec\.accelerator\.count is 2\. Lower them, or raise spec\.accelerator\.count"
    with pytest.raises(InvalidError, match=message) as refused:
        _command(accelerator={"count": 2}, engine={"args": args})
    assert refused.value.reason == "EngineArgumentRefused"


@pytest.mark.parametrize(
    "args",
    [
        ["-tp=2"],
        ["-tp=1", "-pp=2"],
        ["-tp=4", "-tp=2"],
        ["-tp=2", "--distributed-executor-backend=ray"],
        ["-dp=2", "--data-parallel-size-local=2"],
        ["--data-parallel-size-local=2", "--data_parallel_size=2"],
        ["-dp=2", "--data-parallel-backend=ray"],
        ["--nnodes=1", "--node-rank=0", "--master-addr=127.0.0.1", "--master-port=1"],
        ["-n1", "-r", "0"],
        ["--no-data-parallel-hybrid-lb"],
        ["-tp=many"],
        ["-tp"],
    ],
)
def test_a_division_that_fits_or_that_cannot_be_judged_is_the_users(args: list[str]) -> None:
    assert _command(accelerator={"count": 2}, engine={"args": args})[-len(args) :] == args


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--nnodes=2"], "--nnodes=2"),
        (["-n", "2"], "--nnodes=2"),
        (["-n2"], "--nnodes=2"),
        (["--nn=2"], "--nnodes=2"),
        (["--nnodes"], "--nnodes"),
        (["-tp=16", "--nnodes=8", "--node-rank=0"], "--nnodes=8"),
        (["--node_rank=1"], "--node-rank=1"),
        (["-r", "1"], "--node-rank=1"),
        (["--master-addr=10.0.0.1"], "--master-addr=10.0.0.1"),
        (["-dpa=10.0.0.1"], "--data-parallel-address=10.0.0.1"),
        (["-dp=2", "--data-parallel-rank=0"], "--data-parallel-rank=0"),
        (["-dpn", "1"], "--data-parallel-rank=1"),
        (["-dpr=4"], "--data-parallel-start-rank=4"),
        (["--data-parallel-external-lb", "--seed=1"], "--data-parallel-external-lb"),
        (["-dph", "1"], "--data-parallel-hybrid-lb"),
        (["-dp=16", "--data-parallel-size-local=2"], "--data-parallel-size-local=2"),
        (["-dpl=2", "--data-parallel-size", "16"], "--data-parallel-size-local=2"),
        (["-dpl=0"], "--data-parallel-size-local=0"),
        (["--api-server-count=0"], "--api-server-count=0"),
    ],
)
@pytest.mark.parametrize("accelerator", [{"count": 2}, CPU], ids=["gpu", "cpu"])
def test_an_argument_that_needs_other_pods_is_refused_by_name(
    args: list[str], named: str, accelerator: dict[str, Any]
) -> None:
    message = (
        rf"must not contain {re.escape(named)}: the engine would wait for other pods, .* raise spec\.accelerator\.count"
    )
    with pytest.raises(InvalidError, match=message) as refused:
        _command(accelerator=accelerator, engine={"args": args})
    assert refused.value.reason == "EngineArgumentRefused"


@pytest.mark.parametrize("flag", ["--data-parallel-multi-port-external-lb", "-dpm"])
def test_an_engine_with_a_port_for_each_of_its_parts_is_refused(flag: str) -> None:
    with pytest.raises(InvalidError, match=f"must not contain {flag}: it opens a port per rank"):
        _command(engine={"args": [flag]})


def test_on_cpu_parts_are_no_accelerators() -> None:
    assert "-tp=2" in _command(accelerator=CPU, engine={"args": ["-tp=2"]})


@pytest.mark.parametrize("host", ["--host=127.0.0.1", "--host=localhost", "--ho=::1"])
def test_an_address_that_is_unreachable_from_outside_is_refused(host: str) -> None:
    with pytest.raises(InvalidError, match="connect from outside the pod"):
        _command(engine={"args": [host]})


def test_an_address_of_the_users_takes_the_place_of_ours() -> None:
    assert [flag for flag in _command(engine={"args": ["--host=::"]}) if "host" in flag] == ["--host=::"]


MODEL = {"uri": "s3://models/llama", "name": "llama-3", "aliases": ["llama", "llama-3", "meta/llama"]}


def test_aliases_are_served_beside_the_name_each_once() -> None:
    command = _command(model=MODEL)
    at = command.index("--served-model-name")
    assert command[at + 1 : at + 5] == ["llama-3", "llama", "meta/llama", "--host=0.0.0.0"]


def test_two_places_that_name_the_model_are_refused() -> None:
    with pytest.raises(InvalidError, match=r"--served-model-name: spec\.model\.aliases sets .* Put all names in"):
        _command(model=MODEL, engine={"args": ["--served-model-name=x"]})


def test_a_name_like_a_flag_cannot_stand_beside_aliases() -> None:
    with pytest.raises(InvalidError, match="vLLM would read it as a flag"):
        _command(model=MODEL | {"name": "-x"})


OURS = {
    *vllm._FIXED,
    *vllm._PARALLELISM,
    *(spelling for spellings, _ in vllm._OTHER_PODS for spelling in spellings),
    "-dpl",
    "--api-server-count",
    "-asc",
    *vllm._KV_CACHE_SIZE,
    "--no-disable-uvicorn-access-log",
    "--disable-access-log-for-endpoints",
    "--enforce-eager",
    "--no-enforce-eager",
    "--host",
    "--served-model-name",
    "--shutdown-timeout",
    "--disable-uvicorn-access-log",
}
"""Flags that we look for in a user's arguments."""


def test_every_flag_that_we_know_of_is_one_that_vllm_has() -> None:
    assert (OURS | {*vllm._LOCAL_DATA_PARALLEL}) - engine_flags("vllm") == set()


def test_no_flag_of_vllms_own_looks_like_the_beginning_of_one_that_we_look_for() -> None:
    taken = {
        (own, flag) for own in engine_flags("vllm") for flag in OURS if own.startswith("--") and flag.startswith(own)
    }
    assert {own for own, flag in taken if own != flag} - {"--"} == set()
