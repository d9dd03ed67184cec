"""The replicas of one service: they start cold, serve, drain, crash and are lost, as a Deployment's pods do."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from math import inf

from modelyard.scaling.observation import Capacity, ColdStart, State
from modelyard.scaling.simulator.agenda import Agenda
from modelyard.scaling.simulator.engine import Engine
from modelyard.scaling.simulator.pod import NOT_STARTED, Pod
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.request import Request
from modelyard.scaling.simulator.starts import Starts

_KEPT_STARTS = 20

_DELETED_FIRST = {State.PENDING: 0, State.STARTING: 1, State.UNREADY: 2, State.SERVING: 3}
"""The order in which a ReplicaSet deletes: not assigned, pending, not ready; deletion cost decides among equals."""


class Fleet:
    """``ended`` is called for each request that finished or failed, ``held`` has (time, devices) at each change.

    ``current`` is the number of replicas it is set to; pods that leave are beyond it.
    """

    def __init__(
        self,
        agenda: Agenda,
        profile: EngineProfile,
        *,
        starts: Starts,
        drain_s: float,
        chance: random.Random,
        ended: Callable[[Request], None],
    ) -> None:
        self.current = 0
        self.pods: list[Pod] = []
        self.serving: list[Pod] = []
        self.held: list[tuple[float, int]] = [(agenda.now_s, 0)]
        self.replicas_limit = 10**9
        self._agenda = agenda
        self._profile = profile
        self._starts = starts
        self._drain_s = drain_s
        self._chance = chance
        self._ended = ended
        self._began_s = agenda.now_s
        self._start_times_s: list[float] = []
        self._number = 0

    # What a Deployment and its ReplicaSet do

    def begin_with(self, replicas: int, limit: int | None = None) -> None:
        """Replicas that are ready now, as many as there are devices for; how long they took to start is known."""
        self.current = replicas
        if limit is not None:
            self.replicas_limit = limit
        for _ in range(min(replicas, self.replicas_limit)):
            self._start_times_s.append(self._starts.draw(self._chance))
            pod = self._create()
            pod.become(State.STARTING, self._agenda.now_s)
            self._serve(pod)
        self._reconcile()

    def resize(self, replicas: int, idlest: Sequence[str] = ()) -> None:
        """Run ``replicas``. Those that are too many leave in a ReplicaSet's order, ``idlest`` first among equals."""
        self.current = replicas
        self._reconcile(idlest)

    def _reconcile(self, idlest: Sequence[str] = ()) -> None:
        active = [pod for pod in self.pods if pod.state is not State.LEAVING]
        for _ in range(self.current - len(active)):
            self._create()
        if len(active) > self.current:
            cost = {name: at for at, name in enumerate(idlest)}
            active.sort(
                key=lambda pod: (_DELETED_FIRST[pod.state], cost.get(pod.name, len(cost)), -pod.since_s, pod.name)
            )
            for pod in active[: len(active) - self.current]:
                self._stop(pod)
        self._assign()

    def _create(self) -> Pod:
        self._number += 1
        pod = Pod(f"pod-{self._number}", self._agenda.now_s)
        self.pods.append(pod)
        return pod

    def limit(self, replicas: int) -> None:
        """There are devices for ``replicas`` from now on. What runs is not stopped."""
        self.replicas_limit = replicas
        self._assign()

    def _assign(self) -> None:
        """Give pods that wait for devices those that are free."""
        pending = [pod for pod in self.pods if pod.state is State.PENDING]
        free = self.replicas_limit - (len(self.pods) - len(pending))
        for pod in pending[: max(free, 0)]:
            self._start(pod)
        self._count_devices()

    def _start(self, pod: Pod) -> None:
        now_s = self._agenda.now_s
        pod.become(State.STARTING, now_s)
        if self._starts.fails(now_s - self._began_s):
            self._agenda.at(now_s + self._starts.limit_s, lambda: self._give_up(pod))
            return
        takes_s = self._starts.draw(self._chance)
        self._agenda.at(now_s + takes_s, lambda: self._ready(pod, takes_s))

    def _give_up(self, pod: Pod) -> None:
        if pod.state is State.STARTING:
            pod.become(State.UNREADY, self._agenda.now_s)

    def _ready(self, pod: Pod, took_s: float) -> None:
        if pod.state is State.STARTING and pod in self.pods:
            self._start_times_s.append(took_s)
            self._serve(pod)

    def _serve(self, pod: Pod) -> None:
        pod.become(State.SERVING, self._agenda.now_s)
        pod.engine = Engine(self._profile, self._agenda.now_s)
        pod.wakes_s = inf
        self.serving.append(pod)
        self._count_devices()

    def _stop(self, pod: Pod) -> None:
        """Its requests may finish within the drain; no new ones come."""
        self._leave(pod, self._drain_s, "cut at the end of the drain")

    def _leave(self, pod: Pod, notice_s: float, failure: str) -> None:
        self._out_of_service(pod)
        pod.become(State.LEAVING, self._agenda.now_s)
        if pod.engine is None or not pod.engine.in_flight:
            self._remove(pod)
        elif notice_s:
            self._agenda.at(self._agenda.now_s + notice_s, lambda: self._kill(pod, failure))
        else:
            self._kill(pod, failure)

    def _kill(self, pod: Pod, failure: str) -> None:
        if pod in self.pods:
            self._fail_all(pod, failure)
            self._remove(pod)

    def _remove(self, pod: Pod) -> None:
        self.pods.remove(pod)
        self._assign()

    def _out_of_service(self, pod: Pod) -> None:
        if pod in self.serving:
            self.serving.remove(pod)

    def _fail_all(self, pod: Pod, failure: str, gauges_freeze: bool = False) -> None:
        if pod.engine is not None:
            for request in pod.engine.abort_all(gauges_freeze):
                request.failure = failure
                self._ended(request)

    # What befalls it

    def lose(self, count: int, notice_s: float) -> None:
        """Capacity of ``count`` pods goes away after ``notice_s``; replacements are created at once."""
        held = [pod for pod in self.pods if pod.holds_devices and pod.state is not State.LEAVING]
        for pod in self._chance.sample(held, min(count, len(held))):
            self._leave(pod, notice_s, "lost with its node")
        self._reconcile()

    def crash(self, count: int, restart_s: float) -> None:
        """``count`` engines end, and are ready again after ``restart_s``."""
        for pod in self._chance.sample(self.serving, min(count, len(self.serving))):
            self._out_of_service(pod)
            pod.become(State.UNREADY, self._agenda.now_s)
            self._fail_all(pod, "its engine crashed")
            pod.engine = None
            pod.sample = NOT_STARTED
            self._agenda.at(self._agenda.now_s + restart_s, partial(self._restarted, pod))

    def _restarted(self, pod: Pod) -> None:
        if pod.state is State.UNREADY and pod in self.pods:
            self._serve(pod)

    def abort(self, gauges_freeze: bool) -> None:
        """All clients hang up at once."""
        for pod in list(self.serving):
            self._fail_all(pod, "its client left", gauges_freeze)

    # Requests and engines

    def submit(self, pod: Pod, request: Request) -> bool:
        """Send a request to a pod that serves; False where its engine refuses it."""
        assert pod.engine is not None
        self._advance(pod)
        accepted = pod.engine.submit(request, self._agenda.now_s)
        self._watch(pod)
        return accepted

    def advance(self) -> None:
        """Bring every engine to now."""
        for pod in list(self.pods):
            if pod.engine is not None:
                self._advance(pod)

    def _advance(self, pod: Pod) -> None:
        assert pod.engine is not None
        for request in pod.engine.advance(self._agenda.now_s):
            self._ended(request)

    def _watch(self, pod: Pod) -> None:
        engine = pod.engine
        if engine is not None and engine.next_s < pod.wakes_s:
            pod.wakes_s = max(engine.next_s, self._agenda.now_s)
            self._agenda.at(pod.wakes_s, lambda: self._wake(pod))

    def _wake(self, pod: Pod) -> None:
        if self._agenda.now_s != pod.wakes_s or pod.engine is None:
            return  # another look came before
        pod.wakes_s = inf
        self._advance(pod)
        if pod.state is State.LEAVING and not pod.engine.in_flight:
            if pod in self.pods:
                self._remove(pod)
            return
        self._watch(pod)

    # What is seen of it

    def capacity(self) -> Capacity | None:
        """What refuses further replicas now."""
        pending = sum(pod.state is State.PENDING for pod in self.pods)
        if not pending:
            return None
        return Capacity(self.current - pending, "GPUsUnavailable", f"no free GPUs for {pending} pods")

    def cold_start(self) -> ColdStart | None:
        """From the latest starts; None before the first."""
        times_s = sorted(self._start_times_s[-_KEPT_STARTS:])
        if not times_s:
            return None
        return ColdStart(sum(times_s) / len(times_s), times_s[int(0.9 * (len(times_s) - 1) + 0.5)])

    def _count_devices(self) -> None:
        devices = self._profile.devices * sum(pod.holds_devices for pod in self.pods)
        if devices != self.held[-1][1]:
            self.held.append((self._agenda.now_s, devices))
