"""Triton's command line, its readiness, and what it does not get."""

from typing import Any

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.desired import desired
from modelyard.integrations.engines import triton
from tests.support.factories import service
from tests.support.rendering import deployment, engine_command, engine_container, engine_flags, resolved


def _service(*models: str, args: tuple[str, ...] = (), **spec: Any) -> Object:
    engine = {"type": "triton", "args": list(args), **({"triton": {"models": list(models)}} if models else {})}
    return service(engine=engine, **spec)


def _command(*models: str, args: tuple[str, ...] = (), **spec: Any) -> list[str]:
    return engine_command(engine_container(_service(*models, args=args, **spec)))


def _requested_models(*models: str) -> str:
    metadata = deployment(_service(*models))["spec"]["template"]["metadata"]
    return str(metadata["annotations"][names.ANNOTATION_MODELS])


def test_the_models_folder_is_the_repository() -> None:
    assert _command()[:2] == ["tritonserver", "--model-repository=/model"]


def test_without_names_all_models_are_loaded() -> None:
    assert "--model-control-mode=none" in _command()
    assert not [argument for argument in _command() if argument.startswith("--load-model")]
    assert _requested_models() == "*"


def test_named_models_are_loaded_and_no_others() -> None:
    loaded = [argument for argument in _command("b", "a") if "model-control" in argument or "load-model" in argument]
    assert loaded == ["--model-control-mode=explicit", "--load-model=b", "--load-model=a"]
    assert _requested_models("b", "a") == "b,a"


@pytest.mark.parametrize(
    ("models", "path"),
    [((), "/v2/health/ready"), (("detect",), "/v2/models/detect/ready"), (("a", "b"), "/v2/health/ready")],
)
def test_one_named_model_is_queried_by_its_own_path(models: tuple[str, ...], path: str) -> None:
    container = engine_container(_service(*models))
    assert container["readinessProbe"]["httpGet"]["path"] == path
    assert container["startupProbe"]["httpGet"]["path"] == path
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    assert f"--ready-url=http://localhost:8000{path}" in container["command"]


@pytest.mark.parametrize(
    ("args", "ours"), [((), ["--ipv6-argument=--http-address=ipv6:::"]), (("--http-address=1",), [])]
)
def test_it_listens_on_ipv6_instead_unless_the_user_names_an_address(args: tuple[str, ...], ours: list[str]) -> None:
    command = engine_container(_service(args=args))["command"]
    assert [option for option in command[: command.index("--")] if "ipv6" in option or "stack" in option] == ours


def test_the_exit_timeout_is_the_drain() -> None:
    assert "--exit-timeout-secs=7" in _command(drain={"timeoutSeconds": 7})


def test_a_model_that_does_not_load_ends_the_server() -> None:
    assert {"--exit-on-error=true", "--strict-readiness=true"} <= set(_command())


def test_the_rate_limiter_is_left_alone() -> None:
    assert not [argument for argument in _command() if "rate-limit" in argument]


@pytest.mark.parametrize("flag", ["--exit-timeout-secs", "--exit-on-error", "--strict-readiness", "--allow-metrics"])
def test_a_users_flag_wins(flag: str) -> None:
    given = [argument for argument in _command(args=(f"{flag}=0",)) if argument.startswith(f"{flag}=")]
    assert given == [f"{flag}=0"]


def test_it_runs_through_the_entrypoint_of_nvidias_images() -> None:
    container = engine_container(_service())
    launcher = container["command"][: container["command"].index("--")]
    assert "--entrypoint=/opt/nvidia/nvidia_entrypoint.sh" in launcher


def test_the_service_leads_to_http_and_grpc_and_the_container_has_metrics_too() -> None:
    children = desired(resolved(_service()))
    ports = next(child for child in children if child["kind"] == kinds.SERVICE.kind)["spec"]["ports"]
    assert {port["name"]: port["port"] for port in ports} == {"http": 80, "grpc": 8001}
    container = engine_container(_service())
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http": 8000,
        "grpc": 8001,
        "metrics": 8002,
    }


def test_no_accelerator_means_no_flag_for_one() -> None:
    assert _command(accelerator={"type": "cpu"}) == _command()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--model-repository=/other",), "--model-repository"),
        (("--model-store", "/other"), "--model-store"),
        (("--model-control-mode=poll",), "--model-control-mode"),
        (("--load-model=*",), "--load-model"),
        (("--http-port=80",), "--http-port"),
        (("--allow-http=false",), "--allow-http"),
        (("--allow-grpc=false",), "--allow-grpc"),
        (("--grpc-port=1",), "--grpc-port"),
        (("--metrics-port=1",), "--metrics-port"),
        (("--http-restricted-api=metadata,health:key=value",), "--http-restricted-api for health"),
        (("--http-restricted-api", "health:key=value"), "--http-restricted-api for health"),
    ],
)
def test_an_argument_that_would_break_the_service_is_refused_by_name(arguments: tuple[str, ...], named: str) -> None:
    with pytest.raises(InvalidError, match=f"must not contain {named}: .*Remove it") as refused:
        _command(args=("--log-verbose=1", *arguments))
    assert refused.value.reason == "EngineArgumentRefused"


def test_other_apis_may_be_restricted() -> None:
    assert "--http-restricted-api=model-repository:key=value" in _command(
        args=("--http-restricted-api=model-repository:key=value",)
    )


def test_models_are_refused_for_another_engine() -> None:
    with pytest.raises(
        InvalidError, match=r"spec\.engine\.triton is only valid for the engine triton.* uses vllm"
    ) as e:
        resolved(service(engine={"triton": {"models": ["a"]}}))
    assert e.value.reason == "InvalidSpec"


def test_every_flag_that_we_know_of_is_one_that_triton_has() -> None:
    assert triton._FIXED.keys() | {"--http-restricted-api", "--rate-limit"} <= engine_flags("triton")
