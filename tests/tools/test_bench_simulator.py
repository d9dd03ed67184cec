"""The pure parts of the benchmark that holds the simulator against the real vLLM."""

from itertools import islice, pairwise, repeat
from pathlib import Path

import pytest

from bench.simulator import report, rows
from bench.simulator.arrivals import OUTPUTS, PHASES, PROMPTS, phased
from bench.simulator.calibrate import Calibration, drawn
from bench.simulator.compare import Window, errors, relative_error, windows
from bench.simulator.measure import Run
from bench.simulator.options import InvalidOptionError, Options
from bench.simulator.recording import Recording
from bench.simulator.simulated import closed_loop, open_loop
from modelyard.integrations.signals.engine_metrics import EngineSample, Histogram
from modelyard.scaling.simulator.clients import Arrival
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.profiles import Measured

PROFILE = EngineProfile("even", ((1, 0.1), (100, 0.1)), 0.0, 10_000, running_limit=2)


def seen(
    time_s: float,
    *,
    generated: float = 0,
    first: float = 0,
    finished: float = 0,
    running: float = 0,
    waiting: float = 0,
) -> EngineSample:
    return EngineSample(
        time_s,
        waiting=waiting,
        running=running,
        prompt_tokens_total=32 * first,
        generation_tokens_total=generated,
        first_tokens_total=first,
        finished_total=finished,
        iterations_total=generated,
        time_per_output_token_s=Histogram({}, sum=0.05 * generated, count=generated),
    )


# Rows


def test_decoding_is_measured_while_all_requests_decode() -> None:
    samples = [
        seen(0),
        seen(1, generated=3, first=1, running=2),
        seen(2, generated=20, first=2, running=2),
        seen(3, generated=40, first=2, running=2),
        seen(4, generated=60, first=2, running=2),
        seen(5, generated=70, first=2, finished=1, running=1),
    ]
    row = rows.decoding(samples, 2, 100)
    assert (row.tokens, row.context_tokens) == (2, 2 * 100 + 40)
    assert row.seconds == pytest.approx(0.05)


def test_counters_of_before_do_not_count() -> None:
    samples = [
        seen(0, generated=1000, first=7, finished=7),
        seen(1, generated=1010, first=8, finished=7, running=1),
        seen(2, generated=1030, first=8, finished=7, running=1),
    ]
    assert rows.decoding(samples, 1, 100).context_tokens == 100 + 20


def test_one_look_at_requests_that_decode_measures_nothing() -> None:
    with pytest.raises(rows.TooFewSamplesError, match="1 samples"):
        rows.decoding([seen(0), seen(1, generated=5, first=1, running=1)], 1, 32)


def test_prompts_take_the_time_of_all_over_their_iterations() -> None:
    before, after = seen(0, generated=5, first=5), seen(9, generated=15, first=15)
    assert rows.prompts(before, after, 8.0) == Measured(tokens=32, context_tokens=32, seconds=0.8, requests=1)


def test_a_single_prompt_is_no_measurement() -> None:
    with pytest.raises(rows.TooFewSamplesError):
        rows.prompts(seen(0), seen(1, generated=1, first=1), 1.0)


# Arrivals


def test_arrivals_repeat_by_their_seed() -> None:
    assert phased(2.0, 60, seed=1) == phased(2.0, 60, seed=1)
    assert phased(2.0, 60, seed=1) != phased(2.0, 60, seed=2)


def test_phases_have_their_rates_and_requests_their_limits() -> None:
    found = phased(20.0, 100, seed=1)
    for number, share in enumerate(PHASES):
        within = [each for each in found if number * 100 <= each.time_s < (number + 1) * 100]
        assert len(within) == round(share * 2000)
    assert {each.input_tokens for each in found} == set(range(PROMPTS[0], PROMPTS[1] + 1))
    assert {each.output_tokens for each in found} == set(range(OUTPUTS[0], OUTPUTS[1] + 1))
    assert all(before.time_s <= after.time_s for before, after in pairwise(found))


# The simulated engine


def test_the_simulated_engine_is_scraped_as_the_real_one_is() -> None:
    arrivals = [Arrival(0.5, 10, 10), Arrival(0.5, 10, 10), Arrival(0.5, 10, 8)]
    samples = open_loop(PROFILE, arrivals, 5, 1)
    assert [sample.time_s for sample in samples] == [0, 1, 2, 3, 4, 5]
    assert [sample.waiting for sample in samples] == [0, 1, 0, 0, 0, 0]
    assert [sample.running for sample in samples] == [0, 2, 1, 0, 0, 0]
    assert samples[-1].generation_tokens_total == 28


def test_saturated_it_generates_as_many_tokens_as_run_in_each_iteration() -> None:
    last = closed_loop(PROFILE, repeat((1, 100)), clients=4, duration_s=100, every_s=1)[-1]
    assert last.generation_tokens_total == pytest.approx(20 * 100, rel=0.02)
    assert last.waiting == 2


# Comparison


def test_windows_have_rates_and_means() -> None:
    samples = [seen(second, generated=10 * second, waiting=second, running=2) for second in range(5)]
    assert windows(samples, 2, 4) == [Window(0, 10, 0, 0.5, 2), Window(2, 10, 0, 2.5, 2)]


def test_counters_between_two_samples_are_read_off_the_line() -> None:
    samples = [seen(-1), seen(1, generated=40), seen(3, generated=40)]
    assert [window.generated_per_s for window in windows(samples, 2, 2)] == [10]


def test_a_window_without_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="from 2 to 4 s"):
        windows([seen(0), seen(1), seen(5)], 2, 6)


def test_an_error_is_relative_to_the_mean_of_the_true_curve() -> None:
    assert relative_error([1, 2, 3], [2, 2, 2]) == pytest.approx((1 + 0 + 1) / 3 / 2)
    with pytest.raises(ValueError, match="zero throughout"):
        relative_error([1.0], [0.0])


def test_each_curve_has_an_error_of_its_own() -> None:
    found = errors([Window(0, 11, 20, 3, 4)], [Window(0, 10, 20, 2, 4)])
    assert found.generated == pytest.approx(0.1)
    assert (found.prompt, found.waiting, found.running) == (0, 0.5, 0)


def test_a_figure_is_the_median_over_the_real_runs() -> None:
    real = [[Window(0, tokens, 1, 10, 1)] for tokens in (100.0, 110.0, 125.0)]
    throughput, waiting = report.figures(real, [Window(0, 110, 1, 12, 1)])
    assert throughput.line() == "RESULT simulator_throughput_error 0.100 <= 0.15 met"
    assert waiting.line() == "RESULT simulator_waiting_error 0.200 <= 0.15 missed"
    assert throughput.range == "0.000-0.120"


# Recording


def test_what_was_measured_is_compared_again_as_it_was(tmp_path: Path) -> None:
    measured = {"one": Measured(1, 32, 0.05), "prompt": Measured(64, 64, 0.2)}
    run = Run([seen(0), seen(1.5, generated=40, running=2, waiting=1)], late_s=0.01)
    recording = Recording(3, 60, Calibration(measured, 1000, 80.0), [run])
    recording.write(tmp_path / "recording.json")
    again = Recording.read(tmp_path / "recording.json")
    assert again.calibration == recording.calibration
    assert (again.seed, again.phase_s, again.runs[0].late_s) == (3, 60, 0.01)
    assert windows(again.runs[0].samples, 1, 1) == windows(run.samples, 1, 1)


def test_the_tables_have_a_row_for_each_measurement_and_window() -> None:
    calibration = Calibration({"one": Measured(1, 32, 0.05), "prompt": Measured(64, 64, 0.2)}, 1000, 80.0)
    assert len(report.calibration_table(calibration).splitlines()) == 4
    real = [[Window(0, 10, 1, 1, 1)], [Window(0, 12, 1, 1, 1)]]
    assert len(report.windows_table(real, real[0]).splitlines()) == 3
    assert "| generated | 0.08 (0.00-0.17) | 0.17 (0.17-0.17) |" in report.errors_table(real, real[0])


def test_drawn_lengths_repeat() -> None:
    assert list(islice(drawn(1), 5)) == list(islice(drawn(1), 5))


# Options


def test_options_have_defaults_and_limits() -> None:
    options = Options.from_environment({})
    assert (options.runs, options.phase_s, options.recorded) == (3, 60, False)
    assert Options.from_environment({"BENCH_RECORDED": "a.json"}).recorded
    for name, value in (("BENCH_RUNS", "1"), ("BENCH_PHASE_SECONDS", "x"), ("BENCH_SEED", "-1")):
        with pytest.raises(InvalidOptionError, match=name):
            Options.from_environment({name: value})
