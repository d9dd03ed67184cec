"""A cause that lasts for hours: the fetcher tries again and again, in memory that does not grow."""

import gc
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from modelyard.contract import names
from modelyard.contract.fetch_report import Phase, Reason
from modelyard.fetcher.__main__ import fetch_patiently
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.report.state import State
from tests.fetcher.conftest import Pod
from tests.fetcher.places import unused_address

ATTEMPTS = 12
OBJECTS_LIMIT = 1000
"""An attempt that nothing collects leaves some ten thousand."""


class EnoughError(Exception):
    """Ends the attempts."""


@pytest.fixture
def _as_the_program_collects() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(100_000)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("_as_the_program_collects")
def test_attempts_that_fail_leave_no_objects_and_their_reason_stays(bare_pod: Pod) -> None:
    bare_pod.reads_s3(unused_address("s3"))
    state = State(bare_pod.environment[names.ENV_MODEL_URI], None, lambda: datetime.now(UTC))
    objects: list[int] = []

    def wait(_reason: str, _delay_s: float) -> bool:
        report = state.report()
        assert report.phase is Phase.RETRYING
        assert report.error
        assert report.error.reason is Reason.ENDPOINT_UNREACHABLE
        objects.append(len(gc.get_objects()))
        if len(objects) == ATTEMPTS:
            raise EnoughError
        return True

    with pytest.raises(EnoughError):
        fetch_patiently(Configuration.from_environment(bare_pod.environment), state, wait)
    assert objects[-1] - objects[2] < OBJECTS_LIMIT
