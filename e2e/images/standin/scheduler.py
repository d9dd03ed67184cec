"""Which requests run, which wait, and what each step of the model yields: vLLM's scheduling in small, without I/O.

As measured on the real engine: a step gives every running request one token; a request that finds no free block of
key-value cache pushes the newest running one back to the head of the queue, where it counts as waiting again.
"""

from collections import deque
from dataclasses import dataclass, field


@dataclass(eq=False)
class Request:
    """One request inside the engine. Times are seconds on the caller's clock; -1 until they are known."""

    prompt_tokens: int
    max_tokens: int
    answer_tokens: int
    """Tokens that it yields when no client stops it; fewer than max_tokens means that the model ends by itself."""
    arrived_s: float
    scheduled_s: float = -1.0
    first_token_s: float = -1.0
    last_token_s: float = -1.0
    generated: int = 0
    preemptions: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.generated

    @property
    def is_finished(self) -> bool:
        return self.generated >= self.answer_tokens

    @property
    def finish_reason(self) -> str:
        return "length" if self.answer_tokens >= self.max_tokens else "stop"


@dataclass
class Step:
    """What one step did."""

    yielded: list[Request] = field(default_factory=list)
    admitted: list[Request] = field(default_factory=list)
    """Requests whose prompt was computed for the first time."""
    preemptions: int = 0

    @property
    def tokens(self) -> int:
        return len(self.yielded) + sum(request.prompt_tokens for request in self.admitted)


@dataclass
class Scheduler:
    max_running: int
    block_tokens: int
    blocks: int
    """Blocks of key-value cache that requests may take."""
    running: list[Request] = field(default_factory=list)
    waiting: deque[Request] = field(default_factory=deque)

    @property
    def in_flight(self) -> int:
        return len(self.running) + len(self.waiting)

    @property
    def cache_usage(self) -> float:
        """Share of the cache that running requests hold, 0 to 1."""
        return min(1.0, self._used() / self.blocks)

    def submit(self, request: Request) -> None:
        self.waiting.append(request)

    def remove(self, request: Request) -> None:
        """Takes a request out wherever it is; one that has finished is no error."""
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)

    def clear(self) -> None:
        self.running.clear()
        self.waiting.clear()

    def step(self, now_s: float) -> Step:
        """One iteration of the model at time `now_s`; finished requests leave."""
        done = Step()
        self._make_room(done)
        self._admit(done, now_s)
        for request in self.running:
            request.generated += 1
            done.yielded.append(request)
        self.running = [request for request in self.running if not request.is_finished]
        return done

    def _make_room(self, done: Step) -> None:
        while len(self.running) > 1 and self._used(ahead=1) > self.blocks:
            newest = self.running.pop()
            newest.preemptions += 1
            done.preemptions += 1
            self.waiting.appendleft(newest)

    def _admit(self, done: Step, now_s: float) -> None:
        while self.waiting and len(self.running) < self.max_running:
            needed = self._blocks_of(self.waiting[0].tokens + 1)
            if self.running and (done.preemptions or self._used(ahead=1) + needed > self.blocks):
                return
            request = self.waiting.popleft()
            self.running.append(request)
            if request.scheduled_s < 0:
                request.scheduled_s = now_s
                done.admitted.append(request)

    def _used(self, ahead: int = 0) -> int:
        return sum(self._blocks_of(request.tokens + ahead) for request in self.running)

    def _blocks_of(self, tokens: int) -> int:
        return -(-tokens // self.block_tokens)
