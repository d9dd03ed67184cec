"""A number of replicas on its way through windows, rates and bounds: each may change it and says why."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Proposal:
    """``reason`` is that of the last that changed or held the number, ``sentences`` what each had to say."""

    replicas: int
    reason: str
    sentences: tuple[str, ...] = ()

    def limited(self, replicas: int, reason: str, sentence: str) -> "Proposal":
        """Changed, or held, to ``replicas``."""
        return replace(self, replicas=replicas, reason=reason, sentences=(*self.sentences, sentence))
