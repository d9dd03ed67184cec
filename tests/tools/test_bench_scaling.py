"""The parts of bench-scaling: options, cases, fronts, tuning, goals, and what is kept between runs."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from bench.scaling import __main__ as benchmark
from bench.scaling import goals, report
from bench.scaling.cases import CASES
from bench.scaling.days import scaled, times
from bench.scaling.families import BASELINES, CLAIRVOYANT, FAMILIES, OURS, STATIC
from bench.scaling.fronts import TARGETS, Point, at, cheapest, front, tuned
from bench.scaling.jobs import Job, Place
from bench.scaling.options import InvalidOptionError, Options
from bench.scaling.published import sageserve, vidur
from bench.scaling.results import Results
from bench.scaling.store import Store, fingerprint
from modelyard.scaling.simulator.clients import Arrival
from modelyard.scaling.simulator.profiles import PROFILES, Measured
from modelyard.scaling.simulator.score import Score

SCORE = Score(
    requests=1000,
    attainment=0.99,
    device_hours=10.0,
    replicas_changed_per_hour=20.0,
    changes_per_hour=10.0,
    at_maximum_share=0.0,
    failed=0,
    unfinished=0,
    mean_replicas=5.0,
    peak_replicas=8,
)
BASELINE = BASELINES[0]


def _score(attainment: float, hours: float, changes: float = 20.0) -> Score:
    return replace(SCORE, attainment=attainment, device_hours=hours, replicas_changed_per_hour=changes)


def _point(attainment: float, hours: float, changes: float = 1.0, setting: str = "s") -> Point:
    return Point(setting, attainment, hours, changes)


# The whole


def _published(folder: Path) -> Path:
    """Files of the shape of those published, with next to nothing in them."""
    decoding = "model,hardware,prompt_size,batch_size,token_size,prompt_time,token_time,e2e_time,tensor_parallel"
    linear = "gpu,model,tp,num_tokens,linear_ops_ms_all_layers_no_attention_no_allreduce"
    times = [(model, day * 86_400 + at) for model in ("large", "small") for day in range(6) for at in (0, 600)]
    files = {
        "servegen_rates_10min.csv": [
            "model,t_s,total_rate_rps",
            *(f"language/m-{model},{time_s},5.0" for model, time_s in times),
        ],
        "AzureLLMInferenceTrace_conv.csv": [
            "TIMESTAMP,ContextTokens,GeneratedTokens",
            "2023-11-16 18:15:46,20000,2000",
        ],
        "vidur_linear_ops_ms_per_iteration.csv": [
            linear,
            *(f"a100,Meta-Llama-3-8B,1,{tokens},9" for tokens in (1, 64)),
        ],
        "sageserve_perf_model_llama2-70b_bloom_a100_h100.csv": [
            decoding,
            *(f"llama2-70b,h100-80gb,512,{batch},128,30,30,3870,4" for batch in (1, 8)),
        ],
    }
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines))
    return folder


def test_a_run_goes_on_from_where_the_one_before_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {
        "BENCH_TRACES": str(_published(tmp_path)),
        "BENCH_FOLDER": str(tmp_path / "kept"),
        "BENCH_CASES": "ramp",
        "BENCH_POLICIES": "modelyard,llm-d objective",
        "BENCH_SEEDS": "1",
        "BENCH_DAY_HOURS": "0.25",
    }
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BENCH_MINUTES", "0.0001")
    assert benchmark.main() == 1
    first = capsys.readouterr()
    assert "9 runs are left for the next time" in first.err
    assert "RESULT" not in first.out
    monkeypatch.setenv("BENCH_MINUTES", "10")
    assert benchmark.main() == 0
    second = capsys.readouterr()
    assert "training: 1 of 10 runs were done before" in second.err
    assert "RESULT scaling_hours_gentle nan <= 1 missed" in second.out
    assert "| modelyard | defaults |" in second.out
    assert benchmark.main() == 0
    third = capsys.readouterr()
    assert "training: 10 of 10 runs were done before" in third.err
    assert third.out == second.out


# Options


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    (tmp_path / "servegen_rates_10min.csv").write_text("model,t_s,total_rate_rps\n")
    return tmp_path


def test_options_have_defaults_and_follow_the_environment(traces: Path) -> None:
    options = Options.from_environment({"BENCH_TRACES": str(traces)})
    assert (options.seeds, options.processes, options.cases) == (5, 1, frozenset())
    chosen = {"BENCH_SEEDS": "2", "BENCH_PROCESSES": "2", "BENCH_DAY_HOURS": "0.5", "BENCH_POLICIES": "HPA KV, KPA"}
    options = Options.from_environment({"BENCH_TRACES": str(traces), **chosen})
    assert (options.seeds, options.processes, options.day_hours) == (2, 2, 0.5)
    assert options.families == {"HPA KV", "KPA"}
    options.check(CASES, FAMILIES)


@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "inf"])
def test_a_number_that_makes_no_sense_is_refused(traces: Path, value: str) -> None:
    with pytest.raises(InvalidOptionError, match="BENCH_SEEDS"):
        Options.from_environment({"BENCH_TRACES": str(traces), "BENCH_SEEDS": value})


def test_missing_traces_and_unknown_names_are_refused_with_what_there_is(tmp_path: Path, traces: Path) -> None:
    with pytest.raises(InvalidOptionError, match="let BENCH_TRACES name"):
        Options.from_environment({"BENCH_TRACES": str(tmp_path / "none")})
    options = Options.from_environment({"BENCH_TRACES": str(traces), "BENCH_CASES": "sunday"})
    with pytest.raises(InvalidOptionError, match=r"names \['sunday'\]; there are .*large-1"):
        options.check(CASES, FAMILIES)


# Cases


def test_no_day_is_both_tuned_on_and_reported() -> None:
    def day(name: str) -> tuple[str, ...]:
        return tuple(part for part in name.split("-") if part in {"large", "small", "mid"} or part.isdecimal())

    training = {day(case.name) for case in CASES.values() if case.kind == "training"}
    assert training
    assert not training & {day(case.name)[:2] for case in CASES.values() if case.kind != "training"}


def test_each_reported_case_has_days_that_its_baselines_are_tuned_on() -> None:
    trained = {case.tuned_on for case in CASES.values() if case.kind == "training"}
    assert {case.tuned_on for case in CASES.values()} <= trained
    assert set(PROFILES) >= trained


def test_a_day_keeps_its_course_when_it_is_compressed() -> None:
    day = [(0.0, 100.0), (43_200.0, 300.0), (86_400.0, 0.0)]
    assert scaled(day, 3600.0, 2.0) == [(0.0, 1.0), (1800.0, 3.0), (3600.0, 0.0)]


def test_copies_of_a_record_come_one_after_another() -> None:
    record = [Arrival(0.0, 1, 1), Arrival(10.0, 2, 2)]
    assert [arrival.time_s for arrival in times(record, 2, duration_s=10.2, shift_s=0.5)] == [0.0, 0.5, 10.0]


# Fronts


def test_a_front_has_no_point_that_another_beats_in_both() -> None:
    points = [_point(0.9, 5), _point(0.95, 6), _point(0.94, 7), _point(0.99, 9), _point(0.99, 10)]
    assert front(points) == [_point(0.9, 5), _point(0.95, 6), _point(0.99, 9)]


@pytest.mark.parametrize(
    ("attainment", "hours"), [(0.5, 5), (0.9, 5), (0.92, 5.5), (0.94, 6), (0.97, 7.5), (0.98, 8), (0.981, math.inf)]
)
def test_equal_attainment_costs_what_the_front_has_between_its_points(attainment: float, hours: float) -> None:
    points = [_point(0.9, 5), _point(0.94, 6), _point(0.96, 7), _point(0.98, 8)]
    assert at(points, attainment)[0] == pytest.approx(hours)


def test_tuning_takes_the_cheapest_that_attains_a_target_or_the_best_there_is() -> None:
    points = [_point(0.96, 5, setting="a"), _point(0.985, 8, setting="b"), _point(0.981, 7, setting="c")]
    assert list(tuned(points).values()) == ["a", "c", "b", "b", "b"]
    assert list(tuned(points)) == list(TARGETS)


def test_the_cheapest_family_at_an_attainment_or_the_nearest_where_none_attains_it() -> None:
    fronts = {"x": [_point(0.9, 5), _point(0.97, 9)], "y": [_point(0.96, 7)], "z": []}
    assert cheapest(fronts, 0.95)[:2] == ("y", 7)
    assert cheapest(fronts, 0.99)[:2] == ("x", 9)


# Goals


def _results(ours: Score, theirs: Score, case: str = "large-1", seeds: int = 2) -> Results:
    scores = {}
    for seed in range(seeds):
        scores[Job(case, OURS, "defaults", seed)] = ours
        scores[Job(case, BASELINE, "s", seed)] = theirs
        scores[Job(case, CLAIRVOYANT, "1", seed)] = _score(0.999, 8.0)
    return Results(scores)


def _figure(results: Results, name: str) -> tuple[float, bool]:
    figure = next(figure for figure in goals.figures(results) if figure.name == name)
    return figure.value, figure.is_met


def test_hours_are_compared_at_equal_attainment() -> None:
    assert _figure(_results(_score(0.98, 8.0), _score(0.98, 10.0)), "scaling_hours_variable") == (0.8, True)
    assert _figure(_results(_score(0.98, 9.0), _score(0.98, 10.0)), "scaling_hours_variable") == (0.9, False)
    assert _figure(_results(_score(0.98, 9.0), _score(0.98, 10.0)), "scaling_hours_clairvoyant")[0] == 9.0 / 8.0


def test_a_baseline_that_never_attains_as_much_is_compared_at_its_best() -> None:
    assert _figure(_results(_score(0.99, 9.0), _score(0.7, 10.0)), "scaling_hours_variable") == (0.9, False)


def test_what_was_not_run_is_not_met() -> None:
    value, is_met = _figure(_results(SCORE, SCORE), "scaling_hours_gentle")
    assert math.isnan(value)
    assert not is_met


def test_changes_are_compared_with_the_cheapest_baseline() -> None:
    results = _results(_score(0.98, 9.0, changes=10.0), _score(0.98, 10.0, changes=40.0))
    assert _figure(results, "scaling_changes") == (0.25, True)


def test_points_lost_are_those_of_the_worst_profile() -> None:
    scores = {}
    for case, ours in (("large-1", 0.99), ("large-1-a100", 0.975), ("large-1-h100", 0.995)):
        scores[Job(case, OURS, "defaults", 1)] = _score(ours, 9.0)
        scores[Job(case, BASELINE, "cheap", 1)] = _score(0.991, 10.0)
        scores[Job(case, BASELINE, "dear", 1)] = _score(0.999, 20.0)
    value, is_met = _figure(Results(scores), "scaling_profiles_points_lost")
    assert value == pytest.approx(1.6)
    assert not is_met


def test_a_spot_loss_is_what_it_takes_off_a_calm_run() -> None:
    scores = {
        Job("spot-calm", OURS, "defaults", 1): _score(0.99, 9.0),
        Job("spot-half-lost", OURS, "defaults", 1): _score(0.98, 9.0),
        Job("spot-calm", BASELINE, "s", 1): _score(0.995, 9.0),
        Job("spot-half-lost", BASELINE, "s", 1): _score(0.955, 9.0),
    }
    value, is_met = _figure(Results(scores), "scaling_spot_loss")
    assert value == pytest.approx(0.25)
    assert is_met


def test_the_ramp_is_held_to_the_smallest_fleet_that_is_enough() -> None:
    scores = {
        Job("ramp", OURS, "defaults", 1): _score(0.96, 7.0),
        Job("ramp", STATIC, "7", 1): _score(0.8, 9.0),
        Job("ramp", STATIC, "8", 1): _score(1.0, 10.0),
        Job("ramp", STATIC, "9", 1): _score(1.0, 11.0),
    }
    assert _figure(Results(scores), "scaling_ramp_replicas") == (0.7, True)
    assert _figure(Results(scores), "scaling_ramp_attainment") == (0.96, True)


def test_tables_have_each_setting_that_ran() -> None:
    table = report.case_table(_results(_score(0.98, 9.0), _score(0.97, 10.0)), "large-1", 5.0)
    assert "No policy can be below 5.0 GPU-hours." in table
    assert "| modelyard | defaults | 98.00 (98.00-98.00) | 9.00 |" in table
    assert f"| {BASELINE} | s | 97.00 (97.00-97.00) | 10.00 |" in table


# Published measurements


def test_linear_operations_are_rows_without_context() -> None:
    lines = [
        "gpu,model,tp,num_tokens,linear_ops_ms_all_layers_no_attention_no_allreduce",
        "a100,Meta-Llama-3-8B,1,64,11.2",
        "a100,Meta-Llama-3-8B,2,64,7.0",
        "h100,Meta-Llama-3-8B,1,64,5.0",
    ]
    assert vidur(lines, "a100", "Meta-Llama-3-8B", 1) == [Measured(64.0, 0.0, 0.0112)]


@pytest.mark.parametrize(
    ("times", "token_s"),
    [(["200,55,7180", "200,55,7180", "200,95,12000"], 0.055), (["0.03,1.28,1.31", "0.03,1.28,1.32"], 0.01)],
)
def test_decoding_is_measured_by_token_or_by_answer(times: list[str], token_s: float) -> None:
    """Milliseconds of one token, or seconds of 128: the time of the whole shows which."""
    head = "model,hardware,prompt_size,batch_size,token_size,peak_power,average_power,prompt_time,token_time,e2e_time"
    lines = [
        f"{head},tensor_parallel",
        *(f"llama,h100,512,8,128,0,0,{row},4" for row in times),
        "llama,h100,512,8,128,0,0,1,1,1,8",
    ]
    assert sageserve(lines, "llama", "h100", 4) == [Measured(8, 8 * 576.0, token_s)]


# What is kept


def test_scores_are_kept_from_run_to_run(tmp_path: Path) -> None:
    job, path = Job("ramp", OURS, "defaults", 1), tmp_path / "deep/scores.jsonl"
    baseline = replace(job, family=BASELINE)

    def made_by(family: str) -> str:
        return "ours-1" if family == OURS else "others"

    store = Store(path, made_by)
    store.add(job, SCORE)
    store.add(baseline, SCORE)
    with path.open("a") as file:
        file.write('{"made_by": "others", "job"')  # a run that was killed
    assert Store(path, made_by).scores == {job: SCORE, baseline: SCORE}
    assert Store(path, lambda _: "others").scores == {baseline: SCORE}


def test_other_code_and_another_length_of_a_day_make_other_scores(tmp_path: Path) -> None:
    source = tmp_path / "policy.py"
    source.write_text("a")
    place = Place(tmp_path, 4.0)
    first = fingerprint([source], place)
    assert first == fingerprint([source], place)
    assert first != fingerprint([source], Place(tmp_path, 2.0))
    source.write_text("b")
    assert first != fingerprint([source], place)
