"""`make bench-simulator`: the simulator beside the real vLLM. docs/benchmarks.md explains what is measured, and how."""

import asyncio
import os
import signal
import sys
import time

from bench.simulator import report, served
from bench.simulator.arrivals import PHASES, phased
from bench.simulator.calibrate import Calibration, measure_rows, saturated_tokens_per_s, simulated_tokens_per_s
from bench.simulator.client import connected
from bench.simulator.compare import windows
from bench.simulator.container import EngineFailedError, running
from bench.simulator.measure import SCRAPE_EVERY_S, Run, measure
from bench.simulator.options import InvalidOptionError, Options, engines_processor
from bench.simulator.recording import Recording
from bench.simulator.simulated import open_loop
from bench.tick.processors import run_on
from modelyard.scaling.simulator.profiles import Measured

WINDOW_S = 20.0


def main() -> int:
    """The whole run; the exit status is 1 when something could not be measured, whatever the figures are."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = Options.from_environment(os.environ)
        recording = Recording.read(options.file) if options.recorded else _recorded(options)
    except (InvalidOptionError, served.MissingError) as error:
        print(error, file=sys.stderr)
        return 2
    except EngineFailedError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped: the engine's container is removed.", file=sys.stderr)
        return 130
    _report(recording)
    return 0


def _recorded(options: Options) -> Recording:
    engine, found = engines_processor(), served.find()
    run_on(-1)
    with running(found, engine, _log) as url:
        recording = asyncio.run(_measure(url, options))
    recording.write(options.file)
    _log(f"kept in {options.file}: with BENCH_RECORDED={options.file} the simulator is compared with it again")
    return recording


async def _measure(url: str, options: Options) -> Recording:
    """Rows are measured before each run, so that the profile is of the whole time, and shows how it changed."""
    measured: dict[str, Measured] = {}
    runs: list[Run] = []
    async with connected(url) as client:
        tokens_per_s = await saturated_tokens_per_s(client, options.seed)
        kv_capacity = (await client.sample()).kv_capacity_tokens
        assert kv_capacity is not None
        calibration = Calibration(measured, int(kv_capacity), tokens_per_s)
        arrivals = phased(calibration.capacity_per_s, options.phase_s, options.seed)
        for number in range(1, options.runs + 1):
            measured |= await measure_rows(client, number, _log)
            _log(f"run {number} of {options.runs}: {len(arrivals)} requests, for {tokens_per_s:.1f} tokens/s at most")
            runs.append(await measure(client, arrivals, len(PHASES) * options.phase_s, _log))
    return Recording(options.seed, options.phase_s, calibration, runs)


def _report(recording: Recording) -> None:
    calibration, duration_s = recording.calibration, len(PHASES) * recording.phase_s
    profile = calibration.profile
    arrivals = phased(calibration.capacity_per_s, recording.phase_s, recording.seed)
    simulated = windows(open_loop(profile, arrivals, duration_s, SCRAPE_EVERY_S), WINDOW_S, duration_s)
    real = [windows(run.samples, WINDOW_S, duration_s) for run in recording.runs]
    tokens_per_s = simulated_tokens_per_s(profile, recording.seed)
    late_ms = max(run.late_s for run in recording.runs) * 1000
    print(
        f"\nSaturated: {calibration.saturated_tokens_per_s:.1f} tokens/s, simulated {tokens_per_s:.1f}. "
        f"{len(arrivals)} requests in each of {len(real)} runs, the latest {late_ms:.0f} ms late.\n"
    )
    print(
        report.calibration_table(calibration),
        report.windows_table(real, simulated),
        report.errors_table(real, simulated),
        "\n".join(figure.line() for figure in report.figures(real, simulated)),
        sep="\n\n",
    )


def _log(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
