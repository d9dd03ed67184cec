"""The two ways in which a reconcile ends early, and nothing else.

Whatever is neither of these is a bug or the network: the queue backs off and tries again.
"""


class InvalidError(Exception):
    """The user must act: retrying changes nothing until the spec or the settings change.

    ``reason`` is a CamelCase word that lands in a condition; ``message`` says what is wrong and what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class NotReadyError(Exception):
    """Something that will come by itself is not there yet: ask again in ``after_s`` seconds."""

    def __init__(self, reason: str, message: str, after_s: float) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.after_s = after_s
