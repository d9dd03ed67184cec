"""What the benchmarks' server logs that it served."""

from bench.fetch.access_log import Served, file_bytes, largest_part_bytes, most_at_once, parse

PART = 8_000_000
FILE = "/models/model/weights-1.bin"


def served(began_s: float, ended_s: float, size_bytes: int = PART, method: str = "GET", path: str = FILE) -> Served:
    return Served(began_s, ended_s, 206, size_bytes, method, 8080, path)


def test_a_line_is_a_request_with_its_time_and_its_bytes() -> None:
    line = "1795328367.500 0.250 206 8000000 GET 8080 /models/model/a file.bin\n"
    assert parse(line) == [served(1795328367.25, 1795328367.5, path="/models/model/a file.bin")]


def test_only_what_is_sent_of_files_counts() -> None:
    requests = [
        served(0, 1),
        served(0, 1, size_bytes=1),  # shows that the client may read
        served(0, 1, size_bytes=0, method="HEAD"),
        served(0, 1, size_bytes=900, path="/listings/models.xml"),
        served(1, 2, size_bytes=300),
    ]
    assert file_bytes(requests) == PART + 300
    assert largest_part_bytes(requests) == PART


def test_nothing_served_is_nothing() -> None:
    assert (file_bytes([]), largest_part_bytes([]), most_at_once([])) == (0, 0, 0)


def test_connections_are_the_most_requests_at_one_moment() -> None:
    assert most_at_once([served(0, 3), served(1, 2), served(2.5, 4), served(3.5, 5)]) == 2


def test_requests_of_one_connection_that_follow_each_other_at_once_are_one() -> None:
    assert most_at_once([served(0.1, 0.3), served(0.1 + 0.2, 0.4), served(0.4, 0.5)]) == 1
