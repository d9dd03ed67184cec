"""`modelyard simulate`: what other scaling settings would have done on recorded traffic."""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from math import ceil
from pathlib import Path

from pydantic import ValidationError

from modelyard.api.settings import Prometheus
from modelyard.api.validation import problems
from modelyard.scaling.simulator.bound import Work
from modelyard.scaling.simulator.clients import Arrival, OpenLoop
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.profiles import PROFILES
from modelyard.scaling.simulator.run import MONDAY_S, Scenario
from modelyard.scaling.simulator.score import Limits
from modelyard.scaling.simulator.starts import Starts
from modelyard.simulate import files, history, page, table, traces
from modelyard.simulate.compare import Alternative, Compared, compare
from modelyard.simulate.invalid import InvalidInputError

_DESCRIPTION = """\
Replays traffic against a simulated fleet, once for each file of settings, and shows what each would have attained and
cost. An engine batches continuously, as vLLM does, at the speed of a profile; the profile must be near your engine for
the figures to mean something."""


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(prog="modelyard simulate", description=_DESCRIPTION)
    found.add_argument(
        "settings", type=Path, nargs="+", help="an InferenceService or its scaling block, each a YAML file"
    )
    found.add_argument("--fixed", type=_count, action="append", default=[], metavar="N", help="also: always N replicas")
    source = found.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--trace", type=Path, help="CSV with time_s,input_tokens,output_tokens, or JSON lines of Mooncake"
    )
    source.add_argument("--from-prometheus", metavar="URL_OR_FILE", help="vLLM's counters: a Prometheus, or its answer")
    found.add_argument("--service", metavar="NAMESPACE/NAME", help="with a Prometheus: whose pods")
    found.add_argument("--since", type=_since, default="24h", help="with a Prometheus: how long (default: %(default)s)")
    found.add_argument("--token-file", type=Path, help="with a Prometheus: file with the bearer token")
    found.add_argument("--ca-file", type=Path, help="with a Prometheus: file with its CA")
    found.add_argument(
        "--profile", default="a100-llama-8b", help=f"speed of the engine: {', '.join(sorted(PROFILES))}, or a YAML file"
    )
    found.add_argument("--measured", type=Path, help="instead of a profile: CSV with tokens,context_tokens,seconds")
    found.add_argument("--kv-capacity-tokens", type=_count, help="with --measured: tokens that the KV cache holds")
    found.add_argument("--replicas", type=_count, help="how many it begins with; default: what the first minutes need")
    found.add_argument(
        "--cold-start", type=_seconds, default=150.0, help="seconds of a replica's start (default: %(default)g)"
    )
    found.add_argument(
        "--patience",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long clients try again while no replica is ready (default: %(default)g)",
    )
    found.add_argument("--gpus", type=_count, help="how many there are; default: as many as are wanted")
    found.add_argument(
        "--routing",
        choices=["PerConnection", "LeastLoaded"],
        default="PerConnection",
        help="as a Service does it, or as a gateway for models (default: %(default)s)",
    )
    found.add_argument("--seed", type=int, default=0, help="of what is left to chance (default: %(default)s)")
    found.add_argument(
        "--output", type=Path, default=Path("simulation"), help="folder to write to (default: %(default)s)"
    )
    return found


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds")
    return seconds


def _since(text: str) -> str:
    if not re.fullmatch(r"\d{1,6}[smhdw]", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a duration such as 90m, 24h or 7d")
    return text


def main(arguments: Sequence[str]) -> int:
    """Simulate, print the table, write the plots and the page. The exit status is 2 where the input is wrong."""
    chosen = parser().parse_args(arguments)
    try:
        return _simulate(chosen)
    except InvalidInputError as error:
        print(f"modelyard simulate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.", file=sys.stderr)
        return 130


def _simulate(chosen: argparse.Namespace) -> int:
    alternatives = _alternatives(chosen)
    profile = _profile(chosen)
    requests, start_s = _requests(chosen)
    scenario = _scenario(chosen, requests, start_s, profile)
    objective = Limits.of(alternatives[0].scaling.objective)
    began_s = time.monotonic()
    compared = compare(scenario, alternatives, objective, _Progress())
    facts = _facts(requests, scenario, objective)
    print("\n".join(facts), table.text(compared), sep="\n\n")
    written = _write(chosen.output, compared, facts)
    print(f"\nSimulated in {time.monotonic() - began_s:.0f} s. {written}")
    return 0


def _alternatives(chosen: argparse.Namespace) -> list[Alternative]:
    """The objective of the first file judges all of them."""
    found = [Alternative(str(path), files.scaling(path)) for path in chosen.settings]
    if len({one.name for one in found}) < len(found):
        raise InvalidInputError("a file of settings is named twice")
    return [*found, *(Alternative(f"always {count}", found[0].scaling, count) for count in chosen.fixed)]


def _profile(chosen: argparse.Namespace) -> EngineProfile:
    if chosen.measured is None:
        return files.profile(chosen.profile)
    if chosen.kv_capacity_tokens is None:
        raise InvalidInputError(
            "--measured needs --kv-capacity-tokens: vLLM logs it as it starts, as GPU KV cache size"
        )
    return files.measured(chosen.measured, chosen.kv_capacity_tokens)


def _requests(chosen: argparse.Namespace) -> tuple[list[Arrival], float]:
    """The traffic, and when it began in seconds since the epoch: schedules go by it."""
    if chosen.trace is not None:
        try:
            return traces.parse(files.read(chosen.trace).splitlines()), MONDAY_S
        except traces.InvalidTraceError as error:
            raise InvalidInputError(f"{chosen.trace}: {error}") from None
    source = chosen.from_prometheus
    if source.startswith(("http://", "https://")):
        return history.traffic(_queried(chosen), chosen.seed)
    return history.traffic(history.series_of(files.read(Path(source))), chosen.seed)


def _queried(chosen: argparse.Namespace) -> list[dict[str, object]]:
    from modelyard.integrations.signals import prometheus  # noqa: PLC0415 - a trace needs no client of Prometheus

    if not (named := re.fullmatch(r"([a-z0-9-]+)/([a-z0-9.-]+)", chosen.service or "")):
        raise InvalidInputError("--from-prometheus with a URL needs --service NAMESPACE/NAME")
    try:
        settings = Prometheus(
            url=chosen.from_prometheus, bearer_token_file=chosen.token_file, ca_file=chosen.ca_file, timeout_s=60
        )
    except ValidationError as error:
        raise InvalidInputError(f"--from-prometheus: {'; '.join(problems(Prometheus, error))}") from None
    try:
        return prometheus.query(settings, history.promql(named[1], named[2], chosen.since, "1m"))
    except prometheus.QueryError as error:
        raise InvalidInputError(f"Prometheus at {settings.url} {error}") from None


def _scenario(chosen: argparse.Namespace, requests: list[Arrival], start_s: float, profile: EngineProfile) -> Scenario:
    duration_s = requests[-1].time_s + 1.0
    return Scenario(
        OpenLoop(requests),
        profile,
        duration_s,
        start_s=start_s,
        replicas=chosen.replicas or _needed_at_first(requests, profile),
        starts=Starts(median_s=chosen.cold_start),
        routing=chosen.routing,
        replicas_limit=None if chosen.gpus is None else chosen.gpus // profile.devices,
        patience_s=chosen.patience,
        seed=chosen.seed,
    )


_FIRST_S = 600.0
_UTILIZATION = 0.6


def _needed_at_first(requests: list[Arrival], profile: EngineProfile) -> int:
    """Replicas that the first minutes keep busy, with some room: where a run begins should not decide it."""
    first = [request for request in requests if request.time_s < _FIRST_S]
    return ceil(Work(profile).seconds(first) / min(_FIRST_S, requests[-1].time_s + 1.0) / _UTILIZATION)


def _facts(requests: list[Arrival], scenario: Scenario, objective: Limits) -> list[str]:
    count, hours = len(requests), scenario.duration_s / 3600
    mean_in = sum(request.input_tokens for request in requests) / count
    mean_out = sum(request.output_tokens for request in requests) / count
    profile, first_s, further_ms = scenario.profile, objective.first_token_s, 1000 * objective.output_token_s
    return [
        f"{count} requests in {hours:.1f} hours, {mean_in:.0f} tokens in and {mean_out:.0f} out on average.",
        f"Engine {profile.name}, {profile.devices} GPU a replica, which starts in {scenario.starts.median_s:g} s.",
        f"The objective: the first token within {first_s:g} s, each further one within {further_ms:g} ms.",
    ]


def _write(folder: Path, compared: list[Compared], facts: list[str]) -> str:
    """The plots and the page; only the table, with what to install, where the plotting library is missing."""
    try:
        from modelyard.simulate import plots  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        return "For plots and a page: pip install 'modelyard[simulate]'"
    drawn = plots.draw(compared)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, image in drawn.items():
            (folder / name).write_bytes(image)
        (folder / "index.html").write_text(page.page(compared, facts, drawn), encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be written: {error}") from None
    return f"Plots and page: {folder / 'index.html'}"


class _Progress:
    """A line on the terminal that is written over; nothing where the output goes elsewhere."""

    def __init__(self) -> None:
        self._shown_s = 0.0

    def __call__(self, name: str, share: float) -> None:
        now_s = time.monotonic()
        if not sys.stderr.isatty() or (now_s - self._shown_s < 0.2 and share < 1):
            return
        self._shown_s = now_s
        filled = int(30 * share)
        end = "\n" if share >= 1 else ""
        print(
            f"\r{name[-40:]:40} {'#' * filled}{'.' * (30 - filled)} {share:4.0%}", end=end, file=sys.stderr, flush=True
        )
