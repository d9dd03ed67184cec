"""`modelyard simulate` as a person runs it."""

import base64
import json
import random
import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from modelyard import command as modelyard
from modelyard.scaling.simulator.clients import Arrival, OpenLoop
from modelyard.scaling.simulator.profiles import PROFILES
from modelyard.scaling.simulator.run import Scenario
from modelyard.scaling.simulator.score import Limits
from modelyard.simulate import command
from modelyard.simulate.compare import Alternative, compare
from modelyard.simulate.files import scaling
from modelyard.simulate.page import page
from modelyard.simulate.table import text
from tests.support.ports import free_port


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder with two settings and a trace of twenty minutes."""
    chance = random.Random(3)
    rows = [f"{chance.uniform(0, 1200):.2f},{chance.randint(100, 900)},{chance.randint(10, 90)}" for _ in range(2000)]
    (tmp_path / "trace.csv").write_text("\n".join(["time_s,input_tokens,output_tokens", *rows]))
    (tmp_path / "now.yaml").write_text("minReplicas: 1\nmaxReplicas: 4\n")
    (tmp_path / "other.yaml").write_text("{minReplicas: 2, maxReplicas: 4, targets: {runningRequests: 8}}")
    return tmp_path


def _run(folder: Path, *arguments: str) -> int:
    names = [str(folder / name) if name.endswith((".yaml", ".csv")) else name for name in arguments]
    return command.main([*names, "--profile", "a10g-llama-8b", "--output", str(folder / "out")])


def test_it_compares_settings_and_fixed_fleets_in_a_table(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(given, "now.yaml", "other.yaml", "--fixed", "2", "--trace", "trace.csv") == 0
    shown = capsys.readouterr().out
    assert "2000 requests in 0.3 hours" in shown
    rows = [line.split() for line in shown.splitlines() if re.match(r".*(now\.yaml|other\.yaml|always 2)", line)]
    assert len(rows) == 3
    always = next(line for line in shown.splitlines() if line.startswith("always 2"))
    assert re.fullmatch(r"always 2 +\d+\.\d % +0\.6 +2\.00 +2 +0\.0 +0 % +0", always)


def test_it_gives_the_same_figures_each_time(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def table() -> list[str]:
        _run(given, "now.yaml", "--trace", "trace.csv")
        return [line for line in capsys.readouterr().out.splitlines() if "%" in line]

    assert table() == table()


def test_it_draws_plots_and_one_page_that_has_them(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert _run(given, "now.yaml", "--trace", "trace.csv") == 0
    assert "out/index.html" in capsys.readouterr().out
    written = {path.name: path.read_bytes() for path in (given / "out").iterdir()}
    assert set(written) == {"replicas.png", "queue.png", "attainment.png", "gpu-hours.png", "index.html"}
    html = written.pop("index.html").decode()
    for image in written.values():
        assert image.startswith(b"\x89PNG")
        assert base64.b64encode(image).decode() in html


def _recorded() -> bytes:
    """Half an hour of a request per second, as Prometheus answers."""

    def counted(name: str, per_minute: float) -> dict[str, object]:
        return {"metric": {"__name__": name}, "values": [[60.0 * at, str(per_minute * at)] for at in range(31)]}

    series = [
        counted("vllm:time_to_first_token_seconds_count", 60),
        counted("vllm:prompt_tokens_total", 60 * 400),
        counted("vllm:generation_tokens_total", 60 * 40),
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}}).encode()


def _replayed(shown: str) -> None:
    found = re.search(r"(\d+) requests in 0\.5 hours, (\d+) tokens in and (\d+) out", shown)
    assert found is not None
    assert [int(each) for each in found.groups()] == [
        pytest.approx(1800, rel=0.1),
        pytest.approx(400, rel=0.1),
        pytest.approx(40, rel=0.1),
    ]


def test_a_recorded_history_is_replayed(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = given / "history.json"
    history.write_bytes(_recorded())
    assert _run(given, "now.yaml", "--from-prometheus", str(history)) == 0
    _replayed(capsys.readouterr().out)


class _Prometheus(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers["Authorization"] + parse_qs(urlsplit(self.path).query)["query"][0])
        self.send_response(200)
        self.send_header("Content-Length", str(len(_recorded())))
        self.end_headers()
        self.wfile.write(_recorded())

    def log_message(self, *_: object) -> None:
        pass


def test_the_history_of_a_service_is_queried(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (given / "token").write_text("secret")
    with HTTPServer(("127.0.0.1", 0), _Prometheus) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        options = ("--service", "team-a/llama", "--since", "30m", "--token-file", str(given / "token"))
        assert _run(given, "now.yaml", "--from-prometheus", url, *options) == 0
        server.shutdown()
        thread.join()
    _replayed(capsys.readouterr().out)
    (asked,) = _Prometheus.asked
    assert asked.startswith('Bearer secret{__name__=~"vllm:')
    assert asked.endswith('namespace="team-a", pod=~"llama-[a-z0-9]+-[a-z0-9]+"}[30m:1m]')


def test_a_prometheus_that_is_not_there_is_named(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert _run(given, "now.yaml", "--from-prometheus", url, "--service", "a/b") == 2
    assert f"Prometheus at {url} cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("now.yaml", "--trace", "none.csv"), "none.csv cannot be read"),
        (("now.yaml", "--trace", "now.yaml"), "now.yaml: the trace has no column time_s"),
        (("now.yaml", "now.yaml", "--trace", "trace.csv"), "named twice"),
        (("now.yaml", "--trace", "trace.csv", "--measured", "trace.csv"), "--measured needs --kv-capacity-tokens"),
        (("now.yaml", "--from-prometheus", "http://127.0.0.1:9"), "needs --service NAMESPACE/NAME"),
        (("now.yaml", "--from-prometheus", "http://x", "--service", 'a/b"}'), "needs --service NAMESPACE/NAME"),
        (("now.yaml", "--from-prometheus", "http://me:pw@x", "--service", "a/b"), "without user and password"),
    ],
)
def test_wrong_input_is_refused_in_a_line(
    given: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert _run(given, *arguments) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert len(told.err.splitlines()) == 1
    assert not told.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("now.yaml",),
        ("now.yaml", "--trace", "trace.csv", "--fixed", "0"),
        ("now.yaml", "--trace", "trace.csv", "--cold-start", "-1"),
        ("now.yaml", "--trace", "trace.csv", "--patience", "nan"),
        ("now.yaml", "--from-prometheus", "http://x", "--service", "a/b", "--since", "yesterday"),
    ],
)
def test_wrong_arguments_end_with_the_usage(
    given: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        _run(given, *arguments)
    assert ended.value.code == 2
    assert "usage: modelyard simulate" in capsys.readouterr().err


def test_it_is_a_subcommand_of_the_program(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["modelyard", "simulate", str(given / "none.yaml"), "--trace", "x"])
    with pytest.raises(SystemExit) as ended:
        modelyard.main()
    assert ended.value.code == 2


def test_the_operator_is_the_program_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["modelyard", "--version"])
    with pytest.raises(SystemExit) as ended:
        modelyard.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip()


def test_patient_clients_are_served_by_a_service_that_wakes(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (given / "zero.yaml").write_text("{minReplicas: 0, maxReplicas: 2, idleAfterSeconds: 60}")
    (given / "rare.csv").write_text("time_s,input_tokens,output_tokens\n0,5,5\n1200,5,5\n1800,5,5\n")

    def failed(*arguments: str) -> int:
        assert _run(given, "zero.yaml", "--trace", "rare.csv", *arguments) == 0
        return int(capsys.readouterr().out.splitlines()[5].split()[-1])

    assert failed() == 2
    assert failed("--patience", "600") == 0


def test_few_gpus_keep_a_fleet_small(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(given, "now.yaml", "--fixed", "4", "--gpus", "1", "--trace", "trace.csv") == 0
    always = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("always 4"))
    assert re.search(r" 1\.00 +4 ", always)


def test_a_course_adds_up_to_the_score(given: Path) -> None:
    requests = [Arrival(float(at), 500, 50) for at in range(1200)]
    scenario = Scenario(OpenLoop(requests), PROFILES["a10g-llama-8b"], 1200.0, replicas=2)
    seen: list[float] = []
    (one,) = compare(
        scenario,
        [Alternative("<now>", scaling(given / "now.yaml"), fixed=2)],
        Limits(),
        lambda _, share: seen.append(share),
    )
    assert one.course.gpu_hours[-1] == pytest.approx(2 * one.course.hours[-1])
    assert set(one.course.serving) == {2}
    assert sum(share is not None for share in one.course.attainment) == 120
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0, abs=0.05)
    assert "<now>" in text([one])
    assert "<now>" not in page([one], ["a < b"], {})
    assert "a &lt; b" in page([one], ["a < b"], {})
