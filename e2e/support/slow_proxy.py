"""`slow_proxy.py HOST PORT BYTES_PER_S`: listens on 8333 and passes on what comes, all answers no faster than that.

After each connection it prints how many bytes of answers it has passed on in all. Runs in a pod (standard library
only), where a store shall be slow enough to be watched, or what is taken from it is to be counted.
"""

import contextlib
import socket
import sys
import threading
import time

LISTEN_PORT = 8333
PIECE_BYTES = 65536


class Link:
    """What all answers share."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._passed_bytes = 0
        self._free_s = 0.0

    def carry(self, size_bytes: int) -> None:
        """Take as long as so many bytes need, after those that came before."""
        with self._lock:
            self._passed_bytes += size_bytes
            self._free_s = max(self._free_s, time.monotonic()) + size_bytes / self._bytes_per_s
            wait_s = self._free_s - time.monotonic()
        time.sleep(max(wait_s, 0))

    def print_bytes(self) -> None:
        with self._lock:
            print(self._passed_bytes, flush=True)


def _pass_on(source: socket.socket, target: socket.socket, link: Link | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE_BYTES):
            if link:
                link.carry(len(data))
            target.sendall(data)
    for side in (source, target):
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
    if link:
        link.print_bytes()


def main(host: str, port: int, bytes_per_s: float) -> None:
    """Serve until killed."""
    link = Link(bytes_per_s)
    with socket.create_server(("", LISTEN_PORT)) as server:
        while True:
            client, _ = server.accept()
            store = socket.create_connection((host, port))
            for arguments in ((client, store, None), (store, client, link)):
                threading.Thread(target=_pass_on, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
