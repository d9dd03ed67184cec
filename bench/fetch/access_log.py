"""What a server served, by its access log. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Served:
    """One answered request. Times are in seconds of the wall clock; the log's are exact to a millisecond."""

    began_s: float
    ended_s: float
    status: int
    size_bytes: int
    method: str
    port: int
    path: str

    @property
    def is_of_a_file(self) -> bool:
        """A part of a file, and not the one byte by which a client shows that it may read it."""
        return self.method == "GET" and self.path.count("/") > 2 and self.size_bytes > 1


def parse(text: str) -> list[Served]:
    """The requests of a log in the format that nginx.conf calls ``requests``."""
    return [_parse_line(line) for line in text.splitlines()]


def _parse_line(line: str) -> Served:
    ended_s, took_s, status, size_bytes, method, port, path = line.split(" ", 6)
    began_s = float(ended_s) - float(took_s)
    return Served(began_s, float(ended_s), int(status), int(size_bytes), method, int(port), path)


def file_bytes(requests: Iterable[Served]) -> int:
    """How many bytes of files the server gave away, those included that a killed client never read."""
    return sum(request.size_bytes for request in requests if request.is_of_a_file)


def largest_part_bytes(requests: Iterable[Served]) -> int:
    return max((request.size_bytes for request in requests if request.is_of_a_file), default=0)


def most_at_once(requests: Iterable[Served]) -> int:
    """The most requests for files that the server worked on at one moment: one on each connection."""
    # An end and a beginning within the log's millisecond are one connection's: the end counts first.
    changes = sorted(
        change
        for request in requests
        if request.is_of_a_file
        for change in ((round(request.began_s, 3), 1), (round(request.ended_s, 3), -1))
    )
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
