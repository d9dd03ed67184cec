"""What one program writes, the other reads as it was meant; and nothing else is taken for it."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.contract import agent_protocol, cache_page, entry_record
from modelyard.contract.agent_protocol import DiscardAnswer, DiscardRequest, SpaceAnswer, SpaceRequest
from modelyard.contract.cache_layout import digest_of, folder_name
from modelyard.contract.cache_page import CachePage, Entry, Namespace
from modelyard.contract.entry_record import EntryRecord, FileRecord
from modelyard.contract.environment import Environment
from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason

DIGEST = "sha256:" + "a" * 64
RECORD = EntryRecord(
    "s3://models/a",
    datetime(2026, 11, 30, 12, tzinfo=UTC),
    DIGEST,
    (
        FileRecord("weights/a", 3, 1_700_000_000_000_000_001, "00000000000000ab", "SHA256:0"),
        FileRecord("b", 0, 0, "0" * 16),
    ),
)
PAGE = CachePage("worker", False, 100, 18, 82, (Namespace("team-a", "uid", 9, False, (Entry(DIGEST, 9, 1),)),))


def test_a_record_is_read_as_it_was_written() -> None:
    assert entry_record.parse(RECORD.as_json().encode()) == RECORD


@pytest.mark.parametrize(
    "field",
    [
        {"path": ""},
        {"path": "a\0b"},
        {"path": 1},
        {"size": -1},
        {"size": True},
        {"size": "3"},
        {"mtime_ns": None},
        {"crc64nvme": "ab"},
        {"crc64nvme": 7},
        {"checksum": 7},
    ],
    ids=str,
)
def test_a_record_with_a_value_that_no_fetcher_writes_is_none(field: dict[str, Any]) -> None:
    fields = json.loads(RECORD.as_json())
    fields["files"][0] |= field
    with pytest.raises(ValueError, match="no "):
        entry_record.parse(json.dumps(fields).encode())


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_what_a_tenant_writes_is_a_record_or_a_value_error(value: object) -> None:
    for name in ("uri", "fetched_at", "digest", "files"):
        try:
            entry_record.parse(json.dumps(json.loads(RECORD.as_json()) | {name: value}).encode())
        except ValueError:
            continue


@pytest.mark.parametrize("page", [PAGE, CachePage("worker", path_missing=True)])
def test_a_page_is_read_as_it_was_written(page: CachePage) -> None:
    assert cache_page.parse(page.as_json().encode()) == page


@pytest.mark.parametrize("request_", [SpaceRequest(DIGEST, 7), SpaceRequest(DIGEST, 0), DiscardRequest(DIGEST)])
def test_a_request_is_parsed_as_it_was_sent(request_: SpaceRequest | DiscardRequest) -> None:
    assert agent_protocol.parse_request(request_.as_line()) == request_


@pytest.mark.parametrize(
    "answer",
    [
        SpaceAnswer(),
        *(SpaceAnswer(reason, "words") for reason in (Reason.CACHE_FULL, Reason.BUDGET_TOO_SMALL, Reason.OVER_BUDGET)),
        DiscardAnswer(discarded=True),
        DiscardAnswer(discarded=False, message="words"),
    ],
)
def test_an_answer_is_read_as_it_was_given(answer: SpaceAnswer | DiscardAnswer) -> None:
    assert type(answer).parse(answer.as_line()) == answer


@pytest.mark.parametrize("parse", [SpaceAnswer.parse, DiscardAnswer.parse])
def test_an_error_of_the_agents_is_no_answer(parse: Any) -> None:
    with pytest.raises(ValueError, match="it reports: gone"):
        parse(agent_protocol.error_line("gone\n"))


def test_a_folder_is_named_by_its_digest() -> None:
    assert digest_of(folder_name(DIGEST)) == DIGEST


def test_an_empty_variable_is_unset_and_a_wrong_one_is_named() -> None:
    read = Environment({"EMPTY": "", "PORT": "\N{ARABIC-INDIC DIGIT THREE}", "WHOLE": "7", "ODD": "x"})
    assert (read.text("EMPTY"), read.port("EMPTY", 80), read.parsed("WHOLE", int, 0)) == (None, 80, 7)
    for read_it in (
        lambda: read.required("EMPTY"),
        lambda: read.port("PORT", 80),
        lambda: read.parsed("ODD", int, 0),
        lambda: read.choice("ODD", ("a", "b"), "a"),
    ):
        with pytest.raises(InvalidError, match=r"InvalidConfiguration: the environment variable [A-Z]+ is "):
            read_it()


def test_a_page_that_lacks_a_field_is_none() -> None:
    for field in dataclasses.fields(CachePage):
        fields = json.loads(PAGE.as_json())
        del fields[field.name]
        with pytest.raises(ValueError, match="no page"):
            cache_page.parse(json.dumps(fields).encode())
