"""The stand-in takes vLLM's command line, whole, and refuses what the real one refuses."""

from pathlib import Path

import pytest

from e2e.images.standin.command_line import FLAGS, parse
from e2e.images.standin.controls import Controls, controls_from

OPTIONS = FLAGS.read_text().splitlines()


def options_of(*arguments: str) -> object:
    return parse(["serve", "/model", *arguments])


def test_every_flag_of_the_real_help_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    everything = [word for option in OPTIONS if "--help" not in option for word in given(option)]
    try:
        options_of(*everything)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def given(option: str) -> list[str]:
    """An option of flags.txt as a command line would give it, with a value where it takes one."""
    name, _, takes = option.partition(" ") if "{" in option else option.partition(",")[0].partition(" ")
    choices = takes.partition("}")[0].removeprefix("{").split(",") if takes.startswith("{") else ["1"]
    return [name, choices[0]] if takes else [name]


def test_an_unknown_flag_ends_with_2_and_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options_of("--no-such-flag")
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "vllm: error: unrecognized arguments: --no-such-flag"


def test_flags_are_read_in_all_the_ways_that_the_real_one_allows() -> None:
    options = parse(
        [
            "serve",
            "/model",
            "--served-model-name",
            "a",
            "b",
            "--max_model_len=8k",
            "-tp",
            "2",
            "--compilation-config.mode",
            "3",
        ]
    )
    assert options.model == Path("/model")
    assert options.served_names == ("a", "b")
    assert options.max_model_tokens == 8000
    assert options.non_default["tensor_parallel_size"] == "2"


def test_a_model_without_a_name_is_served_under_its_path() -> None:
    assert parse(["serve", "/model"]).served_names == ("/model",)


def test_controls_come_from_the_environment() -> None:
    controls = controls_from({"STANDIN_LOAD_S": "0.5", "STANDIN_ABORT": "error", "PATH": "/bin"})
    assert controls == Controls(load_s=0.5, abort="error")


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("STANDIN_LOADS", "1", "STANDIN_LOADS is not known"),
        ("STANDIN_LOAD_S", "soon", "STANDIN_LOAD_S is a number, not 'soon'"),
        ("STANDIN_ABORT", "maybe", "STANDIN_ABORT is one of hang, abort, error"),
        ("STANDIN_TOKENS_PER_S", "0", "STANDIN_TOKENS_PER_S is too small"),
    ],
)
def test_a_wrong_control_is_reported_by_name(variable: str, value: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        controls_from({variable: value})
