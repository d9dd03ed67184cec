"""Reads traces: arrivals with their tokens, one a line, in the forms that are around.

A CSV with a header whose columns are recognized by their names, or JSON lines as Mooncake publishes them.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from math import isfinite, nan

from modelyard.scaling.simulator.clients import Arrival
from modelyard.simulate.invalid import InvalidInputError

_TIME = ("time_s", "timestamp", "time", "arrived_s", "arrival_time")
_INPUT = ("input_tokens", "contexttokens", "input_length", "prompt_tokens", "num_prefill_tokens")
_OUTPUT = ("output_tokens", "generatedtokens", "output_length", "completion_tokens", "num_decode_tokens")
_CACHED = ("cached_tokens", "cached_prompt_tokens")


class InvalidTraceError(InvalidInputError):
    """What is wrong with a trace, and in which line."""


def parse(lines: Iterable[str]) -> list[Arrival]:
    """The arrivals of a trace, by time, the first at 0. Raises InvalidTraceError."""
    rest = iter(lines)
    first = next(rest, "")
    rows = _json_rows(chain([first], rest)) if first.lstrip().startswith("{") else _csv_rows(chain([first], rest))
    found = sorted(_arrival(number, *row) for number, row in rows)
    if not found:
        raise InvalidTraceError("the trace has no requests")
    start_s = found[0].time_s
    return [arrival._replace(time_s=arrival.time_s - start_s) for arrival in found]


Row = tuple[float, object, object, object]


def _csv_rows(lines: Iterable[str]) -> Iterator[tuple[int, Row]]:
    rows = csv.reader(lines)
    header = [name.strip().lower() for name in next(rows, [])]
    time, tokens_in, tokens_out = (_column(header, names) for names in (_TIME, _INPUT, _OUTPUT))
    cached = next((header.index(name) for name in _CACHED if name in header), None)
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        try:
            fields = row[time], row[tokens_in], row[tokens_out], row[cached] if cached is not None else 0
        except IndexError:
            raise InvalidTraceError(f"line {number} has {len(row)} columns; its header has {len(header)}") from None
        yield number, (_seconds(number, fields[0]), *fields[1:])


def _column(header: Sequence[str], names: Sequence[str]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    raise InvalidTraceError(
        f"the trace has no column {names[0]} (nor {', '.join(names[1:])}); its first line must be a header such as "
        "time_s,input_tokens,output_tokens"
    )


def _seconds(number: int, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = nan
    if isfinite(seconds):
        return seconds
    try:
        whole, _, fraction = text.strip().replace("Z", "+00:00").partition(".")
        digits, offset = (fraction[:-6], fraction[-6:]) if fraction[-6:-5] in {"+", "-"} else (fraction, "")
        moment = datetime.fromisoformat(whole + offset)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return zoned.timestamp() + (float(f"0.{digits}") if digits else 0.0)
    except ValueError:
        raise InvalidTraceError(f"line {number}: {text!r} is neither seconds nor an ISO 8601 time") from None


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, Row]]:
    """Lines as of kvcache-ai/Mooncake: milliseconds, input_length, output_length."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise InvalidTraceError(f"line {number} is no JSON: {error}") from None
        if not isinstance(fields, Mapping) or not isinstance(fields.get("timestamp"), int | float):
            raise InvalidTraceError(f"line {number} has no number timestamp, in milliseconds")
        yield number, (fields["timestamp"] / 1000, fields.get("input_length"), fields.get("output_length"), 0)


def _arrival(number: int, time_s: float, tokens_in: object, tokens_out: object, cached: object) -> Arrival:
    tokens = _tokens(number, "input", tokens_in)
    return Arrival(
        time_s,
        max(tokens, 1),
        max(_tokens(number, "output", tokens_out), 1),
        min(_tokens(number, "cached", cached), tokens),
    )


def _tokens(number: int, what: str, value: object) -> int:
    try:
        count = int(float(value))  # type: ignore[arg-type] # what is no number is refused below
    except (TypeError, ValueError, OverflowError):
        raise InvalidTraceError(f"line {number}: {value!r} is no number of {what} tokens") from None
    if count < 0:
        raise InvalidTraceError(f"line {number}: {count} {what} tokens are too few")
    return count
