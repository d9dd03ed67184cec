"""Stories that mostly wait, played beside each other in one namespace, each judged by a test of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from e2e.support.kubectl import Kubectl

Story = Callable[[Kubectl], None]


def named(story: Story) -> str:
    """The test's name for the story."""
    return story.__name__


@contextmanager
def side_by_side(
    request: pytest.FixtureRequest, kubectl: Kubectl, stories: Sequence[Story]
) -> Iterator[Mapping[str, Future[None]]]:
    """Play those of the stories whose tests run; what becomes of each, by its name."""
    selected = {
        item.callspec.params.get("story")
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    }
    chosen = [story for story in stories if story in selected]
    with ThreadPoolExecutor(max(len(chosen), 1)) as threads:
        yield {named(story): threads.submit(story, kubectl) for story in chosen}
