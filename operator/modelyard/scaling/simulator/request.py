"""A request on its way through the simulated fleet."""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Request:
    """A request of ``input_tokens`` that generates ``output_tokens``, at least one.

    ``cached_tokens`` of the input are in the engine's prefix cache. Times are in seconds since the epoch, None until
    they came. ``failure`` says why it will never finish.
    """

    arrived_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    generated: int = 0
    admitted_s: float | None = None
    first_token_s: float | None = None
    finished_s: float | None = None
    failure: str | None = None

    @property
    def time_to_first_token_s(self) -> float | None:
        return None if self.first_token_s is None else self.first_token_s - self.arrived_s

    @property
    def time_per_output_token_s(self) -> float | None:
        """Mean over the tokens after the first; 0 where there is only one; None before it finished."""
        if self.finished_s is None or self.first_token_s is None:
            return None
        return (self.finished_s - self.first_token_s) / max(self.output_tokens - 1, 1)
