"""`slow_proxy.py HOST PORT BYTES_PER_S`: listens on 8333 and passes on what comes, answers no faster than that.

Runs in a pod (standard library only), where a store shall be slow enough to be watched.
"""

import contextlib
import socket
import sys
import threading
import time

LISTEN_PORT = 8333
PIECE_BYTES = 65536


def _pass_on(source: socket.socket, target: socket.socket, bytes_per_s: float) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE_BYTES):
            target.sendall(data)
            time.sleep(len(data) / bytes_per_s)
    for side in (source, target):
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)


def main(host: str, port: int, bytes_per_s: float) -> None:
    """Serve until killed."""
    with socket.create_server(("", LISTEN_PORT)) as server:
        while True:
            client, _ = server.accept()
            store = socket.create_connection((host, port))
            for arguments in ((client, store, float("inf")), (store, client, bytes_per_s)):
                threading.Thread(target=_pass_on, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
