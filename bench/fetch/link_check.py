"""Whether the slow link is what it claims to be, and nothing else: tested with plain sockets before any client runs."""

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.fetch.model import PREFIX
from bench.fetch.places import Place

_PART_BYTES = 32 * 2**20
_CONNECTIONS = 12
_BUFFER_BYTES = 2**20


@dataclass(frozen=True)
class Link:
    """What one connection gets, and what several get together that throw the bytes away."""

    first_byte_s: float
    bytes_per_second: float
    together_bytes_per_second: float

    def __str__(self) -> str:
        return (
            f"{self.first_byte_s * 1000:.0f} ms to the first byte, {self.bytes_per_second / 1e6:.0f} MB/s on one "
            f"connection, {self.together_bytes_per_second / 1e6:.0f} MB/s on {_CONNECTIONS}"
        )


def check(place: Place) -> Link:
    first_byte_s, whole_s = _part(place)
    started_s = time.monotonic()
    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        sizes = [threads.submit(_part, place) for _ in range(_CONNECTIONS)]
        for size in sizes:
            size.result()
    together_s = time.monotonic() - started_s
    return Link(first_byte_s, _PART_BYTES / (whole_s - first_byte_s), _CONNECTIONS * _PART_BYTES / together_s)


def _part(place: Place) -> tuple[float, float]:
    """Reads the beginning of a file; returns the seconds from the request to the first byte and to the last."""
    address = urlsplit(place.endpoint)
    name = place.model.files[0].name
    request = f"GET /{place.bucket}/{PREFIX}/{name} HTTP/1.1\r\nHost: {address.netloc}\r\n"
    request += f"Range: bytes=0-{_PART_BYTES - 1}\r\nConnection: close\r\n\r\n"
    buffer = bytearray(_BUFFER_BYTES)
    with socket.create_connection((address.hostname, address.port)) as plain:
        connection = plain
        if place.ca:
            connection = ssl.create_default_context(cafile=place.ca).wrap_socket(
                plain, server_hostname=address.hostname
            )
        connection.sendall(request.encode())
        started_s = time.monotonic()
        connection.recv_into(buffer)
        first_s = time.monotonic() - started_s
        while connection.recv_into(buffer):
            pass
        return first_s, time.monotonic() - started_s
