"""The stand-in stops as awkwardly as the real engine was measured to."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.images.standin.tiny_model import write_tiny_model
from tests.support.eventually import eventually
from tests.support.standin import Standin

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
SLOW = {"STANDIN_TOKENS_PER_S": "20"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


def test_connections_are_refused_until_the_model_is_loaded(model: Path) -> None:
    with Standin(model, environment={"STANDIN_LOAD_S": "600"}) as standin:
        standin.logs("Starting to load model")
        assert standin.is_refused()


def test_sigterm_while_loading_is_lost_and_it_goes_on_to_serve(model: Path) -> None:
    with Standin(model, environment={"STANDIN_LOAD_S": "0.5"}) as standin:
        standin.logs("Starting to load model")
        standin.signal(signal.SIGTERM)
        assert standin.is_ready().request("GET", "/health").status == 200


def test_sigterm_while_loading_can_end_it_at_once(model: Path) -> None:
    with Standin(model, environment={"STANDIN_LOAD_S": "600", "STANDIN_SIGTERM_WHILE_LOADING": "exits"}) as standin:
        standin.logs("Starting to load model")
        standin.signal(signal.SIGTERM)
        assert standin.ends() == -signal.SIGTERM


@pytest.mark.parametrize("arguments", [(), ("--shutdown-timeout", "30")])
def test_an_idle_server_ends_with_0(model: Path, arguments: tuple[str, ...]) -> None:
    with Standin(model, *arguments) as standin:
        idle = standin.is_ready().connect()
        standin.send(idle, "GET", "/health")
        idle.getresponse().read()
        standin.signal(signal.SIGTERM)
        assert standin.ends() == 0
        idle.close()


def test_without_a_shutdown_timeout_clients_hang_until_they_leave(model: Path) -> None:
    with Standin(model, environment=SLOW) as standin, standin.is_ready().streaming() as stream:
        stream.first()
        standin.signal(signal.SIGTERM)
        eventually(standin.is_refused)
        assert stream.is_silent()
        stream.leave()
        assert standin.ends() == 0


def test_a_second_sigterm_changes_nothing_for_those_that_hang(model: Path) -> None:
    with Standin(model, environment=SLOW) as standin, standin.is_ready().streaming() as stream:
        stream.first()
        standin.signal(signal.SIGTERM)
        eventually(standin.is_refused)
        standin.signal(signal.SIGTERM)
        assert stream.is_silent()


def test_an_abort_ends_running_streams_with_a_reason_and_queued_ones_without(model: Path) -> None:
    with Standin(model, "--max-num-seqs", "1", environment={**SLOW, "STANDIN_ABORT": "abort"}) as standin:
        with standin.is_ready().streaming() as running, standin.streaming() as queued:
            eventually(lambda: standin.gauge(WAITING) == 1)
            running.first()
            standin.signal(signal.SIGTERM)
            *_, last, done = running.rest()
            assert (last["choices"][0]["finish_reason"], done) == ("abort", "[DONE]")
            assert queued.rest() == ["[DONE]"]
        assert standin.ends() == 0


def test_an_abort_can_end_streams_with_an_error(model: Path) -> None:
    with Standin(model, environment={**SLOW, "STANDIN_ABORT": "error"}) as standin:
        with standin.is_ready().streaming() as stream:
            standin.signal(signal.SIGTERM)
            *_, error, done = stream.rest()
            assert (error["error"]["code"], done) == (500, "[DONE]")
        assert standin.ends() == 0


def test_a_drain_finishes_running_and_queued_requests_and_refuses_new_ones_with_500(model: Path) -> None:
    arguments = ("--max-num-seqs", "1", "--shutdown-timeout", "60")
    with Standin(model, *arguments, environment={"STANDIN_TOKENS_PER_S": "100"}) as standin, ExitStack() as stack:
        standin.is_ready()
        streams = [stack.enter_context(standin.streaming(max_tokens=40)) for _ in range(3)]
        eventually(lambda: standin.gauge(WAITING) == 2)
        standin.signal(signal.SIGTERM)
        standin.logs("mode=drain")
        assert standin.request("GET", "/health").status == 200
        assert standin.gauge(RUNNING) == 1
        refused = standin.request("POST", "/v1/completions", {"prompt": "hi"})
        assert (refused.status, refused.json["error"]["message"]) == (500, "cannot schedule new futures after shutdown")
        for stream in streams:
            *_, last, done = stream.rest()
            assert (last["choices"][0]["finish_reason"], done) == ("length", "[DONE]")
        assert standin.ends() == 0


def test_a_drain_that_takes_too_long_leaves_clients_hanging(model: Path) -> None:
    with (
        Standin(model, "--shutdown-timeout", "1", environment=SLOW) as standin,
        standin.is_ready().streaming() as stream,
    ):
        standin.signal(signal.SIGTERM)
        eventually(standin.is_refused)
        assert stream.is_silent()
        stream.leave()
        assert standin.ends() == 0


def test_the_engines_death_fails_its_streams_and_its_health_and_ends_with_0(model: Path) -> None:
    with Standin(model, environment={**SLOW, "STANDIN_DEATH_EXIT_S": "1"}) as standin:
        with standin.is_ready().streaming() as stream:
            stream.first()
            standin.request("POST", "/standin/kill_engine")
            assert standin.request("GET", "/health").status == 503
            assert standin.request("POST", "/v1/completions", {"prompt": "hi"}).status == 500
            *_, error, done = stream.rest()
            assert (error["error"]["code"], done) == (500, "[DONE]")
        assert standin.ends() == 0


def test_several_api_servers_end_with_1_when_their_engine_dies(model: Path) -> None:
    with Standin(model, "--api-server-count", "2", environment={"STANDIN_DEATH_EXIT_S": "0"}) as standin:
        standin.is_ready().request("POST", "/standin/kill_engine")
        assert standin.ends() == 1


def test_a_server_can_stay_up_after_its_engine_has_died(model: Path) -> None:
    environment = {"VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "1", "STANDIN_DEATH_EXIT_S": "0"}
    with Standin(model, environment=environment) as standin:
        standin.is_ready().request("POST", "/standin/kill_engine")
        assert standin.request("GET", "/health").status == 503
        assert standin.request("GET", "/metrics").status == 200
        assert standin.request("GET", "/v1/models").status == 200
        standin.signal(signal.SIGTERM)
        assert standin.ends() == 0


def test_requests_beyond_the_queues_limit_are_refused_with_503(model: Path) -> None:
    arguments = ("--max-num-seqs", "1", "--max-num-queued-reqs", "2")
    with Standin(model, *arguments, environment=SLOW) as standin:
        with standin.is_ready().streaming(), standin.streaming():
            refused = standin.request("POST", "/v1/completions", {"prompt": "hi"})
            assert refused.status == 503
            assert refused.json["error"]["message"].startswith("The engine is currently busy")
            assert standin.gauge("vllm:admission_rejections_total") == 1
        eventually(lambda: standin.gauge(RUNNING) == 0)


def test_what_runs_and_waits_is_in_the_metrics_and_leaves_them_with_its_clients(model: Path) -> None:
    arguments = ("--max-num-seqs", "4", "--num-gpu-blocks-override", "24")
    with Standin(model, *arguments, environment=SLOW) as standin:
        with ThreadPoolExecutor(50) as clients, ExitStack() as stack:
            standin.is_ready()
            list(clients.map(lambda _: stack.enter_context(standin.streaming(prompt="word " * 200)), range(50)))
            eventually(lambda: (standin.gauge(RUNNING), standin.gauge(WAITING)) == (4, 46))
            assert standin.gauge("vllm:kv_cache_usage_perc") == 8 / 23
        eventually(lambda: standin.gauge(RUNNING) == 0 and standin.gauge(WAITING) == 0)


def test_an_engine_can_die_by_itself_while_it_serves(model: Path) -> None:
    dying = {"STANDIN_DIES_AFTER_S": "1", "STANDIN_DEATH_EXIT_S": "0"}
    with Standin(model, environment=dying) as standin:
        assert standin.is_ready().ends() == 0
