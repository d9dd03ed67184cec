"""What a person may choose for a run of the benchmarks, and what is refused."""

from pathlib import Path

import pytest

from bench.fetch.options import InvalidOptionError, Options, disk_of

NGINX = {"MODELYARD_NGINX": "/made/nginx/root"}


def test_nothing_chosen_is_a_whole_run() -> None:
    options = Options.from_environment(NGINX)
    assert (options.size_bytes, options.rounds, options.only) == (2 * 2**30, 5, frozenset())
    assert options.folder.is_absolute()


def test_cases_are_separated_by_commas_or_blanks() -> None:
    assert Options.from_environment(NGINX | {"BENCH_CASES": "nginx, slow_tls"}).only == {"nginx", "slow_tls"}


def test_a_case_that_there_is_none_of_is_refused() -> None:
    options = Options.from_environment(NGINX | {"BENCH_CASES": "nginx,sloww"})
    with pytest.raises(InvalidOptionError, match="sloww"):
        options.check_cases(("nginx", "slow"))
    options.check_cases(("nginx", "sloww"))


@pytest.mark.parametrize("wrong", [{"BENCH_ROUNDS": "0"}, {"BENCH_ROUNDS": "many"}, {"BENCH_SIZE_MB": "1"}])
def test_a_number_that_is_none_is_refused_by_name(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidOptionError, match=next(iter(wrong))):
        Options.from_environment(NGINX | wrong)


def test_without_set_up_s_nginx_the_target_to_run_is_named() -> None:
    with pytest.raises(InvalidOptionError, match="make bench-fetch"):
        Options.from_environment({})


def test_memory_is_refused_as_a_disk() -> None:
    with pytest.raises(InvalidOptionError, match="BENCH_FOLDER"):
        disk_of(Path("/dev/shm"))
