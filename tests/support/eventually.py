"""Waiting for something that happens by itself, with an end and without a fixed sleep."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def eventually(
    look: Callable[[], Value | None],
    until: Callable[[Value], bool] = bool,
    *,
    within_s: float = 30.0,
    every_s: float = 0.05,
) -> Value:
    """Looks again and again until there is a value that is as expected, and returns it.

    Raises AssertionError with the last value seen when ``within_s`` has passed. The limit is there to end a test that
    fails, not to measure one that passes: make it generous.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        value = look()
        if value is not None and until(value):
            return value
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s:g} s; last seen: {value!r}")
        time.sleep(every_s)
