"""Lists all objects below a folder, page by page: all of them, or an error. Pure but for the pages that it requests."""

import time
from collections.abc import Callable, Iterator

from modelyard.fetcher.content.remote_file import FILES_LIMIT, too_many_files
from modelyard.fetcher.sources.s3.answers import ListedObject, Page
from modelyard.fetcher.sources.s3.xml_fields import UnreadableError
from modelyard.fetcher.transport.stall_clock import StallClock

_EMPTY_PAGES_LIMIT = 100
"""In a row. S3 itself gives an empty page now and then, where it has passed over many removed versions."""


def listed_below(
    folder: str, page_at: Callable[[str], Page], clock_s: Callable[[], float] = time.monotonic
) -> Iterator[ListedObject]:
    """The objects whose keys begin with ``folder``, without the marks that consoles make for folders.

    ``page_at`` returns a token's page, the first one for an empty token. Raises UnreadableError unless the pages can be
    exactly that folder's: a part of a model must not pass for a whole one.
    """
    keys: set[str] = set()
    tokens = {""}
    token = ""
    clock = StallClock(now_s=clock_s)
    empty_pages = 0
    while True:
        page = page_at(token)
        for each in page.objects:
            _check(each, folder, keys)
            if not (each.key.endswith("/") and each.size_bytes == 0):
                yield each
        token = page.next_token
        if not token:
            return
        if token in tokens:
            raise UnreadableError("it names the same continuation token twice and never ends")
        tokens.add(token)
        if page.objects:
            empty_pages = 0
            clock.came_on()
            continue
        empty_pages += 1
        if empty_pages >= _EMPTY_PAGES_LIMIT or clock.is_over:
            raise UnreadableError(f"it continues after {empty_pages} pages without an object")


def _check(listed: ListedObject, folder: str, keys: set[str]) -> None:
    if not listed.key.startswith(folder):
        raise UnreadableError(
            f"it includes {listed.key[:200]!r}, which is not below {folder!r}: the store ignores prefix"
        )
    if listed.key in keys:
        raise UnreadableError(f"it lists {listed.key[:200]!r} twice")
    keys.add(listed.key)
    if len(keys) > 2 * FILES_LIMIT:
        raise too_many_files()
