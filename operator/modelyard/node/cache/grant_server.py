"""The socket in each namespace's part, where its pods request space (contract/agent_protocol.py)."""

import asyncio
import contextlib
import logging
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from modelyard.contract import agent_protocol
from modelyard.contract.agent_protocol import LINE_LIMIT_BYTES, DiscardAnswer, DiscardRequest, SpaceAnswer, SpaceRequest
from modelyard.contract.cache_layout import CacheLayout, folder_name
from modelyard.node.cache.budget import Refusal
from modelyard.node.cache.grants import Grant
from modelyard.node.cache.namespace_folders import Parts
from modelyard.node.cache.node_cache import NodeCache
from modelyard.node.host import untrusted_files

FIRST_LINE_TIMEOUT_S = 10.0
CONNECTIONS_PER_NAMESPACE = 64
"""More than the pods of one namespace that fetch on one node at once."""

GRANTS_PER_CONNECTION = 4
PAUSE_S = 0.02
"""Between two answers to one namespace, which come one after the other: no namespace can starve the others."""

_SOCKET = CacheLayout(Path("/")).agent_socket.name

_log = logging.getLogger("modelyard.node")


@dataclass(frozen=True)
class _Served:
    server: asyncio.Server
    identity: tuple[int, int] | None


class SpaceServer:
    """Serves the sockets of all namespaces, on a thread of its own."""

    def __init__(self, cache: NodeCache, parts: Parts) -> None:
        self._cache = cache
        self._parts = parts
        self._loop = asyncio.new_event_loop()
        self._served: dict[str, _Served] = {}
        self._open: dict[str, int] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="space", daemon=True)
        self._thread.start()

    def serve(self, namespace: str) -> None:
        """Makes sure that the namespace's part has its socket: a tenant that is root may have removed it, and a disk
        that was mounted meanwhile has none. Raises OSError.
        """
        asyncio.run_coroutine_threadsafe(self._serve(namespace), self._loop).result()

    def forget(self, namespace: str) -> None:
        """The namespace is gone."""
        asyncio.run_coroutine_threadsafe(self._forget(namespace), self._loop).result()

    def stop(self) -> None:
        """Ends every connection; the sockets' names stay, so that no tenant can take them."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _end(self) -> None:
        for namespace in list(self._served):
            await self._forget(namespace)
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, namespace: str) -> None:
        if namespace in self._served and self._served[namespace].identity == _identity(namespace, self._parts):
            return
        await self._forget(namespace)
        listening = await asyncio.to_thread(_listening, namespace, self._parts)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connected(namespace, reader, writer)

        server = await asyncio.start_unix_server(connected, sock=listening, limit=LINE_LIMIT_BYTES)
        self._served[namespace] = _Served(server, _identity(namespace, self._parts))

    async def _forget(self, namespace: str) -> None:
        if served := self._served.pop(namespace, None):
            served.server.close()
        self._turns.pop(namespace, None)

    async def _connected(self, namespace: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first line to its end; its grants end with it."""
        if self._open.get(namespace, 0) >= CONNECTIONS_PER_NAMESPACE:
            writer.close()
            return
        self._open[namespace] = self._open.get(namespace, 0) + 1
        grants: list[Grant] = []
        try:
            timeout_s: float | None = FIRST_LINE_TIMEOUT_S
            while line := await asyncio.wait_for(reader.readline(), timeout_s):
                timeout_s = None
                async with self._turns.setdefault(namespace, asyncio.Lock()):
                    answer = await asyncio.to_thread(self._answer, namespace, line, grants)
                    await asyncio.sleep(PAUSE_S)
                writer.write(answer)
                await writer.drain()
        except (ValueError, TimeoutError, ConnectionError):  # an endless line, a silent client, or one that is gone
            pass
        finally:
            self._open[namespace] -= 1
            for grant in grants:
                await asyncio.to_thread(self._cache.release, grant)
            writer.close()

    def _answer(self, namespace: str, line: bytes, grants: list[Grant]) -> bytes:
        try:
            request = agent_protocol.parse_request(line)
        except ValueError as error:
            return agent_protocol.error_line(str(error))
        try:
            if isinstance(request, DiscardRequest):
                return self._discard(namespace, request).as_line()
            if len(grants) >= GRANTS_PER_CONNECTION:
                return agent_protocol.error_line("one connection asks for one model")
            return self._grant(namespace, request, grants).as_line()
        except Exception:  # noqa: BLE001 - the client must get an answer, and the next one is served
            _log.exception("a question of namespace %s could not be answered", namespace)
            return agent_protocol.error_line("the node agent failed to answer; its log has the cause")

    def _discard(self, namespace: str, request: DiscardRequest) -> DiscardAnswer:
        is_done = self._cache.discard(namespace, folder_name(request.digest))
        return DiscardAnswer(discarded=True) if is_done else DiscardAnswer(False, "there is no such entry")

    def _grant(self, namespace: str, request: SpaceRequest, grants: list[Grant]) -> SpaceAnswer:
        folder = folder_name(request.digest)
        outcome = self._cache.ask(namespace, folder, request.size_bytes)
        if isinstance(outcome, Refusal):
            return SpaceAnswer(outcome.reason, outcome.message)
        for former in [grant for grant in grants if grant.folder == folder]:
            grants.remove(former)
            self._cache.release(former)
        grants.append(outcome)
        return SpaceAnswer()


def _identity(namespace: str, parts: Parts) -> tuple[int, int] | None:
    """Which socket lies in the part; None for none."""
    with contextlib.suppress(FileNotFoundError), parts.opened(namespace) as part:
        found = untrusted_files.status(_SOCKET, part)
        return None if found is None else (found.st_dev, found.st_ino)
    return None


def _listening(namespace: str, parts: Parts) -> socket.socket:
    """A listening socket that appears in the part by a rename: at no moment can a tenant take its name."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with parts.opened(namespace) as part, parts.sockets(namespace) as sockets:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_SOCKET, dir_fd=sockets)
            listening.bind(f"/proc/self/fd/{sockets}/{_SOCKET}")
            os.chmod(_SOCKET, 0o666, dir_fd=sockets)  # noqa: S103 - every user of the namespace may connect
            listening.listen(CONNECTIONS_PER_NAMESPACE)
            try:
                os.rename(_SOCKET, _SOCKET, src_dir_fd=sockets, dst_dir_fd=part)
            except IsADirectoryError:
                with parts.trash() as trash:
                    untrusted_files.discard(_SOCKET, part, trash)
                os.rename(_SOCKET, _SOCKET, src_dir_fd=sockets, dst_dir_fd=part)
    except BaseException:
        listening.close()
        raise
    return listening
