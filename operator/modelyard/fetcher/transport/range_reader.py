"""Exactly the bytes that were asked for, out of an answer that may hold more (source.RangeReader)."""

from modelyard.fetcher.transport.connection_pool import Answer

_SKIP_BYTES = 64 * 1024


class ExactReader:
    """Reads over the first ``skip_bytes`` of the answer, then gives ``length`` bytes and no byte more: a server that
    sends on could fill the disk.
    """

    def __init__(self, answer: Answer, length: int, skip_bytes: int = 0) -> None:
        self._answer = answer
        self._left_bytes = length
        self._skip_bytes = skip_bytes

    def readinto(self, target: memoryview, /) -> int:
        if self._skip_bytes:
            self._skip()
        count = self._answer.readinto(target[: self._left_bytes])
        self._left_bytes -= count
        return count

    def _skip(self) -> None:
        with memoryview(bytearray(_SKIP_BYTES)) as scratch:
            while self._skip_bytes:
                count = self._answer.readinto(scratch[: self._skip_bytes])
                if not count:
                    return
                self._skip_bytes -= count

    def abort(self) -> None:
        self._answer.abort()

    def close(self) -> None:
        self._answer.close()
