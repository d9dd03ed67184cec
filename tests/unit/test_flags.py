"""Our flags and the user's on one command line."""

import pytest

from modelyard.engines.flags import Flag, flag_names, merged, refuse
from modelyard.errors import InvalidError

OURS = [Flag("--port", "8000"), Flag("--enforce-eager", unless=("--no-enforce-eager", "-eager"))]


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ([], ["--port=8000", "--enforce-eager"]),
        (["--port=1"], ["--enforce-eager", "--port=1"]),
        (["--port", "1"], ["--enforce-eager", "--port", "1"]),
        (["--enforce_eager"], ["--port=8000", "--enforce_eager"]),
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
        InvalidError, match=r"EngineArgumentRefused: spec\.engine\.args may not hold --a-b: because"
    ) as e:
        refuse(["--fine", "--a_b=1"], {"--a-b": "because"})
    assert e.value.reason == "EngineArgumentRefused"
