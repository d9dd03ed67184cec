"""How a fetch ends otherwise than with the whole model.

A FetchError is what a person can cure while the pod lives (grant access, create the Secret, free the disk): the fetcher
reports it and tries again. What only another pod template cures is an errors.InvalidError: it reports it and ends.
"""

from modelyard.contract.fetch_report import Reason


class FetchError(Exception):
    """A failed attempt: ``reason`` names it, ``message`` says what is wrong and what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class StreamBrokenError(Exception):
    """The bytes stopped coming before the file's end: ask again from where they stopped.

    ``refusal`` is the server's own answer where there is one: what to raise when asking again does not help.
    """

    def __init__(self, cause: str, refusal: FetchError | None = None) -> None:
        super().__init__(cause)
        self.refusal = refusal


class WholeFileOnlyError(Exception):
    """The server knows no ranges: the file comes over one connection at a time, from its first byte on."""
