"""How a fetch ends otherwise than with the whole model.

A FetchError is what a person can cure while the pod lives (grant access, create the Secret, free the disk): the fetcher
reports it and tries again. What only another pod template cures is an errors.InvalidError: it reports it and ends.
"""

from modelyard.contract.fetch_report import Reason


class FetchError(Exception):
    """A failed attempt: ``reason`` names it, ``message`` explains the fault and its remedy."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class StreamBrokenError(Exception):
    """The bytes stopped coming before the file's end: request the rest from there.

    ``refusal`` is the server's own answer, if any: the error to raise when retries do not help.
    """

    def __init__(self, cause: str, refusal: FetchError | None = None) -> None:
        super().__init__(cause)
        self.refusal = refusal


class WholeFileOnlyError(Exception):
    """The server does not support ranges: the file comes over one connection at a time, from its first byte on."""
