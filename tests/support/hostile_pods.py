"""What answers on a fetcher's port when a tenant wants to hurt the operator: one way to lie per address of loopback."""

import gzip
import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from modelyard.contract import names

Lie = Callable[[socketserver.StreamRequestHandler, threading.Event], None]
"""Writes to the client, until that has enough of it or the event ends the test."""

OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n"


def replying(body: bytes | str, head: bytes = OK) -> Lie:
    """One whole answer."""
    whole = head + b"\r\n" + (body if isinstance(body, bytes) else body.encode())

    def lie(pod: socketserver.StreamRequestHandler, _: threading.Event) -> None:
        pod.wfile.write(whole)

    return lie


def reporting(**fields: object) -> Lie:
    """A fetcher's report, with these fields."""
    return replying(json.dumps({"phase": "Downloading", "bytesDone": 1, "bytesTotal": 2, "error": None} | fields))


def _endless(piece: bytes, pause_s: float) -> Lie:
    def lie(pod: socketserver.StreamRequestHandler, over: threading.Event) -> None:
        pod.wfile.write(OK + b"\r\n")
        while not over.wait(pause_s):
            pod.wfile.write(piece)

    return lie


def _silence(_: socketserver.StreamRequestHandler, over: threading.Event) -> None:
    over.wait()


def _failing(message: str, reason: str = "AccessDenied") -> Lie:
    return reporting(phase="Waiting", error={"reason": reason, "message": message})


LIES: dict[str, Lie] = {
    "endless-body": _endless(b"x" * 65536, 0),
    "slow-drip": _endless(b" ", 0.05),
    "silence": _silence,
    "one-gigabyte-announced": replying("{}", OK + b"Content-Length: 1000000000\r\n"),
    "gzip-bomb": replying(gzip.compress(b" " * 10_000_000), OK + b"Content-Encoding: gzip\r\n"),
    "deep-json": replying("[" * 4000 + "]" * 4000),
    "deep-objects": replying('{"a":' * 1500 + "1" + "}" * 1500),
    "wrong-types": replying('{"phase": [], "bytesDone": "many", "bytesTotal": {}, "error": 7, "digest": {}}'),
    "huge-numbers": replying('{"phase": "Downloading", "bytesDone": 1' + "0" * 4000 + ', "bytesTotal": 1e999}'),
    "beyond-any-size": reporting(bytesDone=2**53 + 1, bytesTotal=-1, bytesPerSecond=2**1000),
    "control-characters": _failing("\x1b[2J\x00\r\n\u202e\u2028\u200b" + "\U0001f600" * 100),
    "endless-words": _failing("no " * 2500),
    "odd-reason": _failing("no", reason="Ready\n- type: Ready"),
    "unknown-reason": _failing("no", reason="ModelReady"),
    "hostile-digest": reporting(digest="sha256:" + "A" * 64, phase="../../etc/passwd"),
    "not-http": replying(b"\x00\xff" * 2000, b""),
    "huge-headers": replying("{}", OK + b"X-Huge: " + b"h" * 1_000_000 + b"\r\n"),
}


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """The client has had enough: nothing to report."""


@contextmanager
def answering(address: str, port: int, lie: Lie) -> Iterator[list[str]]:
    """A pod that lies; gives the addresses of its clients."""
    over, visitors = threading.Event(), list[str]()

    class Handler(socketserver.StreamRequestHandler):
        timeout = 30

        def handle(self) -> None:
            visitors.append(self.client_address[0])
            lie(self, over)

    with _Server((address, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield visitors
        finally:
            over.set()
            server.shutdown()
            thread.join()


@contextmanager
def all_lying(lies: Mapping[str, Lie]) -> Iterator[dict[str, str]]:
    """A pod for each of the lies; gives their addresses by name, others than those of a test run beside this one."""
    network = f"127.{os.getpid() // 250 % 250 + 2}.{os.getpid() % 250 + 2}"
    addresses = {name: f"{network}.{number}" for number, name in enumerate(lies, start=1)}
    with ExitStack() as pods:
        for name, lie in lies.items():
            pods.enter_context(answering(addresses[name], names.FETCH_STATE_PORT, lie))
        yield addresses
