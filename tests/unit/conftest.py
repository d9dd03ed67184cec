"""What several unit tests share."""

from collections.abc import AsyncIterator

import pytest

from modelyard.api.kinds import Kind
from modelyard.integrations.signals.pod_http import PodClient
from tests.support import optional_kind


@pytest.fixture
async def pods() -> AsyncIterator[PodClient]:
    """The operator's way to pods, closed at the end."""
    made = PodClient()
    yield made
    await made.close()


@pytest.fixture
def widgets(monkeypatch: pytest.MonkeyPatch) -> Kind:
    """A kind of child that a cluster may lack."""
    return optional_kind.bring(monkeypatch)
