"""Options of the test run."""

import pytest
from hypothesis import HealthCheck, settings

# A busy machine takes longer for an example, which shows nothing of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/expected anew; review the diff like code"
    )
