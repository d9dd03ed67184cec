"""Unused ports of the loopback."""

import itertools
import os
import socket

_FIRST_PORT = 10_000
_PORTS = 22_000
"""Below 32768, where Linux begins to choose ports for outgoing connections (ip(7), ip_local_port_range)."""

_turns = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """A port that is free, and that neither a connection nor another call takes before it is used at last."""
    while True:
        port = _FIRST_PORT + next(_turns) % _PORTS
        try:
            with socket.create_server(("", port)):
                return port
        except OSError:
            continue
