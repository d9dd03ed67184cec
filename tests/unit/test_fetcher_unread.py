"""A failure that is not read over the network is reported by the program's end, once."""

from pathlib import Path

from modelyard.fetcher.report.delivery import UNREAD_S, Unread


class Time:
    """A clock that moves as long as is slept; the report is read at ``reads_s``."""

    def __init__(self, *reads_s: float) -> None:
        self.now_s = 0.0
        self._reads_s = reads_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def last_read_s(self) -> float | None:
        return max((read_s for read_s in self._reads_s if read_s <= self.now_s), default=None)


def unread(folder: Path, time: Time) -> Unread:
    return Unread(folder, time.last_read_s, clock_s=lambda: time.now_s, sleep=time.sleep)


def waits(program: Unread, reason: str, delays_s: tuple[float, ...] = (1, 2, 4, 8, 16, 30, 30, 30)) -> list[bool]:
    """The result of each wait between attempts, up to the end of the program."""
    goes_on = []
    for delay_s in delays_s:
        goes_on.append(program.wait(reason, delay_s))
        if not goes_on[-1]:
            break
    return goes_on


def test_a_failure_that_is_not_read_ends_the_program_in_time(tmp_path: Path) -> None:
    time = Time()
    assert waits(unread(tmp_path, time), "AccessDenied") == [True, True, True, True, False]
    assert time.now_s == UNREAD_S


def test_the_next_run_goes_on_trying_the_same_failure(tmp_path: Path) -> None:
    waits(unread(tmp_path, Time()), "AccessDenied")
    time = Time()
    assert all(waits(unread(tmp_path, time), "AccessDenied"))
    assert time.now_s == 121


def test_another_failure_is_reported_as_well(tmp_path: Path) -> None:
    waits(unread(tmp_path, Time()), "AccessDenied")
    assert waits(unread(tmp_path, Time()), "ModelNotFound")[-1] is False


def test_a_report_that_is_read_keeps_the_program_running(tmp_path: Path) -> None:
    time = Time(*range(0, 200, 5))
    assert all(waits(unread(tmp_path, time), "AccessDenied"))
    assert time.now_s == 121


def test_a_report_that_is_read_no_longer_ends_the_program(tmp_path: Path) -> None:
    time = Time(0, 5, 10, 15)
    assert waits(unread(tmp_path, time), "AccessDenied")[-1] is False
    assert time.now_s == 15 + UNREAD_S


def test_a_read_while_it_waits_puts_the_end_off(tmp_path: Path) -> None:
    time = Time(19)
    assert waits(unread(tmp_path, time), "AccessDenied", (30, 30)) == [True, False]
    assert time.now_s == 19 + UNREAD_S


def test_a_long_attempt_that_fails_unread_is_reported_once_it_had_its_time(tmp_path: Path) -> None:
    time = Time()
    program = unread(tmp_path, time)
    assert program.wait("AccessDenied", 1)
    time.sleep(300)
    assert not program.wait("AccessDenied", 2)
    assert time.now_s == 301


def test_without_room_to_note_it_the_program_ends_all_the_same(tmp_path: Path) -> None:
    time = Time()
    assert waits(unread(tmp_path / "absent", time), "DiskFull")[-1] is False
