"""The operator's own parts around an in-memory cluster, driven step by step on a clock that the test moves."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Key, Object
from modelyard.api.settings import Settings
from modelyard.contract.fetch_report import FetchReport
from modelyard.controller.autoscaler.loop import Autoscaler, Decide
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError
from modelyard.controller.dispatch.resync import Resync
from modelyard.controller.dispatch.workqueue import WorkQueue
from modelyard.controller.metrics import Metrics
from modelyard.controller.reconcile.reconciler import Reconciler
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_pod import EnginePod
from modelyard.integrations.signals.repository_index import Index
from modelyard.scaling.decide import decide
from tests.support.clock import FakeClock
from tests.support.in_memory_cluster import InMemoryCluster, matches, place_of

START = datetime(2026, 1, 1, tzinfo=UTC)
TICK_S = 15.0
SETTINGS = Settings(fetch_image="registry.example/modelyard-fetch:1")


class RunningOperator:
    """One process of the operator. A test plays the worker: run() works until nothing is left to do.

    With ``watches`` False nothing that happens in the cluster arrives until deliver() or resync().
    """

    def __init__(
        self,
        cluster: InMemoryCluster,
        *,
        watches: bool = True,
        settings: Settings = SETTINGS,
        decide: Decide = decide,
    ) -> None:
        self.clock = FakeClock()
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(self.clock, random=lambda: 1.0)
        self.failures: list[ApiError] = []
        self.fetch_states: dict[str, FetchReport] = {}
        self.indexes: dict[str, Index] = {}
        self.versions: dict[str, str] = {}
        self.samples: dict[str, EngineSample | Unknown] = {}
        self._cluster = cluster
        self._pending: list[tuple[str, Kind, Object]] = []
        self.metrics = Metrics()
        self.autoscaler = Autoscaler(
            cluster,
            self.cache,
            self.metrics,
            settings,
            services=lambda: self.cache.all_of(kinds.INFERENCE_SERVICE),
            signals={"Pods": self, "Prometheus": self},
            decide=decide,
            wake=self.queue.add,
            now=self.now,
        )
        self._reconciler = Reconciler(
            settings,
            cluster,
            self.cache,
            read_fetch_state=self._read_fetch_state,
            read_index=self._read_index,
            read_version=self._read_version,
            scaling_report=self.autoscaler.report_of,
            now=self.now,
            instance="test",
        )
        cluster.on_change = self._on_event if watches else self._miss

    async def resync(self) -> None:
        """A full LIST, as at the start."""

        async def done(_: frozenset[Kind]) -> None:
            """Nothing waits for this."""

        await Resync(self._cluster, self.cache, self.queue, done, random=lambda: 0.5).first()

    def now(self) -> datetime:
        """The time on the test's clock."""
        return START + timedelta(seconds=self.clock.time())

    async def tick(self, number: int = 1) -> None:
        """As many rounds of the autoscaler, each with the work that follows and the time until the next."""
        for _ in range(number):
            await self.autoscaler.round()
            await self.run(for_s=TICK_S)

    async def run(self, for_s: float = 0) -> None:
        """Work on what waits now, and on what comes due within ``for_s`` seconds."""
        until = self.clock.time() + for_s
        await self._work()
        while self.clock.time() < until:
            step_s = min(0.05, until - self.clock.time())
            self.clock.advance(step_s)
            await self._work()

    @property
    def pending_events(self) -> list[tuple[str, Kind, Object]]:
        """The watch events that were not delivered yet."""
        return self._pending

    def deliver(self, order: Iterable[int] | None = None) -> int:
        """Deliver the pending watch events, in the given order of indexes. Returns how many there were."""
        events, self._pending = self._pending, []
        for index in range(len(events)) if order is None else order:
            self._on_event(*events[index])
        return len(events)

    async def _work(self) -> None:
        while len(self.queue):
            key = await self.queue.get()
            try:
                after_s = await self._reconciler.reconcile(key)
            except ApiError as error:
                self.failures.append(error)
                self.queue.done(key, failed=True)
            else:
                self.queue.done(key)
                if after_s is not None:
                    self.queue.add_after(key, max(after_s, 0.01))

    async def _read_fetch_state(self, address: str) -> FetchReport | None:
        return self.fetch_states.get(address)

    async def _read_version(self, address: str) -> str | None:
        return self.versions.get(address)

    async def read(self, pods: Collection[EnginePod]) -> dict[str, EngineSample | Unknown]:
        """What the engines of pods report: those of ``samples``."""
        return {pod.uid: self.samples[pod.uid] for pod in pods if pod.uid in self.samples}

    async def _read_index(self, address: str) -> Index | None:
        return self.indexes.get(address)

    def _on_event(self, type_: str, kind: Kind, body: Object) -> None:
        if kind not in kinds.WATCHED:
            return
        if not matches(body, kinds.WATCHED[kind]):
            if self.cache.get(kind, place_of(body)) is None:
                return
            type_ = "DELETED"  # what a watch with a selector reports of an object that leaves it
        for key in self.cache.delete(kind, body) if type_ == "DELETED" else self.cache.upsert(kind, body):
            self.queue.add(key)

    def _miss(self, type_: str, kind: Kind, body: Object) -> None:
        self._pending.append((type_, kind, body))
