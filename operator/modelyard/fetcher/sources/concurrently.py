"""The same small request for many files: a few threads, each going from one file to the next."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = 16
"""Of requests that take a round trip each and hardly any time of the processor."""


def concurrently(ask: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The results, in the order of the items. Raises the first error that came, after all threads have ended."""
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    numbered = iter(enumerate(items))
    lock = threading.Lock()

    def work() -> None:
        while not errors:
            with lock:
                number, item = next(numbered, (-1, None))
            if item is None:
                return
            try:
                results[number] = ask(item)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the caller raises it
                errors.append(error)

    threads = [threading.Thread(target=work, name=f"ask-{number}") for number in range(min(THREADS, len(items)) - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(items))]
