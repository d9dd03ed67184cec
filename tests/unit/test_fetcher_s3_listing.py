"""A listing is all of a folder, or an error."""

from collections.abc import Iterator
from itertools import count

import pytest

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.remote_file import FILES_LIMIT
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.sources.s3.answers import ListedObject, Page, UnreadableError, listed_below
from modelyard.fetcher.transport.slowness import STALL_LIMIT_S


def page(*keys: str, token: str = "") -> Page:
    return Page(tuple(ListedObject(key, 1, "etag") for key in keys), token)


def test_pages_are_read_to_the_last_one_and_an_empty_one_is_none() -> None:
    pages = {"": page("m/a", token="1"), "1": page(token="2"), "2": page("m/b")}
    assert [each.key for each in listed_below("m/", pages.__getitem__)] == ["m/a", "m/b"]


def test_the_mark_of_a_folder_is_no_file() -> None:
    marks = Page((ListedObject("m/", 0, ""), ListedObject("m/a/", 0, ""), ListedObject("m/a/b", 0, "etag")), "")
    assert [each.key for each in listed_below("m/", lambda _: marks)] == ["m/a/b"]


def test_a_slow_listing_of_empty_pages_ends_within_the_limit_of_a_silence() -> None:
    requested: list[str] = []
    tokens = map(str, count())

    def page_at(token: str) -> Page:
        requested.append(token)
        return page(token=next(tokens))

    times_s: Iterator[float] = (STALL_LIMIT_S / 4 * number for number in count())
    with pytest.raises(UnreadableError, match="continues after 4 pages without an object"):
        list(listed_below("m/", page_at, lambda: next(times_s)))
    assert len(requested) == 4


def test_a_page_that_comes_again_under_other_tokens_ends_the_listing() -> None:
    tokens = map(str, count())
    with pytest.raises(UnreadableError, match="lists 'm/a' twice"):
        list(listed_below("m/", lambda _: page("m/a", token=next(tokens))))


def test_more_objects_than_a_model_has_are_refused_and_never_cut_off() -> None:
    keys = (f"m/{number}/" for number in count())  # the marks of folders count too
    tokens = map(str, count(1))

    def page_at(_: str) -> Page:
        return Page(tuple(ListedObject(next(keys), 0, "") for _ in range(1000)), next(tokens))

    with pytest.raises(FetchError) as refusal:
        list(listed_below("m/", page_at))
    assert refusal.value.reason is Reason.TOO_MANY_FILES
    assert str(FILES_LIMIT) in refusal.value.message
