"""Our flags and the user's on one command line."""

import pytest

from modelyard.contract.errors import InvalidError
from modelyard.integrations.engines.flags import Flag, flag_names, has, merged, refuse, value_of

OURS = [Flag("--port", "8000"), Flag("--enforce-eager", unless=("--no-enforce-eager", "-eager"))]


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ([], ["--port=8000", "--enforce-eager"]),
        (["--port=1"], ["--enforce-eager", "--port=1"]),
        (["--port", "1"], ["--enforce-eager", "--port", "1"]),
        (["--enforce_eager"], ["--port=8000", "--enforce_eager"]),
        (["--enforce"], ["--port=8000", "--enforce"]),
        (["--po", "1"], ["--enforce-eager", "--po", "1"]),
        (["--no-enforce-eager"], ["--port=8000", "--no-enforce-eager"]),
        (["-eager=1"], ["--port=8000", "-eager=1"]),
        (["--portal=1", "port"], ["--port=8000", "--enforce-eager", "--portal=1", "port"]),
    ],
)
def test_a_users_flag_takes_the_place_of_ours(users: list[str], expected: list[str]) -> None:
    assert merged(OURS, users) == tuple(expected)


def test_an_underscore_in_a_value_stays() -> None:
    assert flag_names(["--a_b=c_d", "e_f", "-g_h"]) == {"--a-b", "-g-h"}


def test_a_refused_flag_is_named_with_the_reason() -> None:
    with pytest.raises(
        InvalidError, match=r"EngineArgumentRefused: spec\.engine\.args must not contain --a-b: because"
    ) as e:
        refuse(["--fine", "--a_b=1"], {"--a-b": "because"})
    assert e.value.reason == "EngineArgumentRefused"


def test_a_flag_of_several_values_is_written_as_one_argument_each() -> None:
    assert merged([Flag("--name", ("a", "b")), Flag("--port", "1")], []) == ("--name", "a", "b", "--port=1")


@pytest.mark.parametrize("spelling", ["--a-b", "--a-b=1", "--a_b", "--a-", "--a=1"])
def test_every_spelling_of_a_refused_flag_is_refused(spelling: str) -> None:
    with pytest.raises(InvalidError, match="because"):
        refuse(["--fine", spelling, "--more"], {"--a-b": "because"})


@pytest.mark.parametrize("other", ["--a-b-c", "a-b", "--", "-a", "--b", "value--a-b"])
def test_what_no_engine_reads_as_a_refused_flag_is_let_through(other: str) -> None:
    refuse([other], {"--a-b": "because"})


def test_an_abbreviation_is_refused_with_the_flag_that_it_stands_for() -> None:
    with pytest.raises(InvalidError, match="must not contain --a, which is short for --a-b: because"):
        refuse(["--a=1"], {"--a-b": "because"})


def test_short_flags_have_no_abbreviations() -> None:
    assert has(["-tp=2"], "-tp")
    assert not has(["-t=2"], "-tp")


@pytest.mark.parametrize(
    ("users", "value"),
    [
        (["--size=4"], "4"),
        (["--size", "4"], "4"),
        (["--si", "4"], "4"),
        (["-s", "4"], "4"),
        (["--size=4", "-s=8"], "8"),
        (["--size=4", "--other", "--size", "2", "--last"], "2"),
        (["--size"], None),
        (["--other=4"], None),
        ([], None),
    ],
)
def test_the_last_value_of_a_flag_counts(users: list[str], value: str | None) -> None:
    assert value_of(users, "--size", "-s") == value
