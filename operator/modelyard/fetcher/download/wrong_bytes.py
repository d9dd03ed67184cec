"""Files whose bytes came wrong twice, identically: a third download would bring the same bytes."""

from collections.abc import Callable, Iterable

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.failure import FetchError


class WrongBytesError(FetchError):
    """A file that does not match its checksum, twice with the same bytes."""

    def __init__(self, file: RemoteFile, problem: str) -> None:
        super().__init__(
            Reason.CHECKSUM_MISMATCH,
            f"{file.key} does not match its checksum ({problem}), twice with the same bytes: upload the file again, or "
            "correct the checksum if you set it. The fetch continues when the source reports another version or date "
            "of the file; a new pod fetches it in any case",
        )
        self.file = file
        self.problem = problem


class WrongBytes:
    """What the attempts of one fetcher remember of such files."""

    def __init__(self) -> None:
        self._known: dict[RemoteFile, tuple[str, str]] = {}

    def remember(self, error: WrongBytesError, stamp: str) -> None:
        """``stamp`` is source.Source.stamp of the file; an empty one shows no change, so nothing is remembered."""
        if stamp:
            self._known[error.file] = stamp, error.problem

    def check(self, files: Iterable[RemoteFile], stamp_of: Callable[[RemoteFile], str]) -> None:
        """Raises the file's WrongBytesError again while the source still shows the version recorded with it."""
        for file in files:
            if file in self._known:
                stamp, problem = self._known[file]
                if stamp_of(file) == stamp:
                    raise WrongBytesError(file, problem)
                del self._known[file]
