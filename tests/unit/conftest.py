"""What several unit tests share."""

from collections.abc import AsyncIterator

import pytest

from modelyard.integrations.signals.pod_http import PodClient


@pytest.fixture
async def pods() -> AsyncIterator[PodClient]:
    """The operator's way to pods, closed at the end."""
    made = PodClient()
    yield made
    await made.close()
