"""What was observed of a service, and what follows from it: the basis on which status.py decides the conditions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from modelyard.api.conditions import Explanation, Kind, explanation_of
from modelyard.api.reasons import Reasons
from modelyard.api.service import Key, Object, key_of
from modelyard.api.status import StartupStatus
from modelyard.contract import names
from modelyard.contract.errors import InvalidError, NotReadyError
from modelyard.observe.facts.autoscalers import ForeignAutoscaler
from modelyard.observe.facts.pods import LONG_AGO, PodFacts, Stage
from modelyard.observe.facts.raw_object import at, entries, number, readable, text
from modelyard.observe.facts.service import Facts
from modelyard.observe.reasons.diagnosis import PodContext, age_s, answers, explain
from modelyard.observe.reasons.scheduling import admission_refusal
from modelyard.observe.target import PoolTarget, PrefetchReport, ScalingReport, Target

REFUSED_AGAIN_S = 60.0
"""A pod that failed so soon after its creation explains a successor that waits for the scheduler."""


@dataclass(frozen=True)
class Assessment:
    """What was observed of the InferenceService ``body``; its properties are what follows from it for the service as a
    whole.

    ``target`` is None while the spec cannot be resolved (``problem`` then has the reason) or is not applied because the
    service is paused: running pods are then compared with the Deployments' own specs. ``contested`` names a child that
    other writers keep changing, if any; ``prefetch`` is the progress on nodes that get the model ahead of the pods;
    ``scaling`` is the last decision of this process, ``foreign`` are the autoscalers of others; ``writer`` is the field
    manager that set spec.replicas to another number than scaling decided on before, if any.
    """

    body: Object
    target: Target | None
    problem: InvalidError | NotReadyError | None
    facts: Facts
    now: datetime
    contested: Explanation | None = None
    prefetch: PrefetchReport | None = None
    scaling: ScalingReport | None = None
    foreign: tuple[ForeignAutoscaler, ...] = ()
    writer: str = ""

    @cached_property
    def key(self) -> Key:
        return key_of(self.body)

    @property
    def generation(self) -> int:
        return number(self.body, "metadata", "generation") or 0

    @property
    def stored(self) -> Object:
        """The status that is stored now."""
        return self.body.get("status") or {}

    @property
    def deleting(self) -> bool:
        return at(self.body, "metadata", "deletionTimestamp") is not None

    @cached_property
    def pools(self) -> Mapping[str, PoolTarget]:
        """What should run of each pool, by name."""
        if self.target:
            return self.target.pools
        return {name: PoolTarget(found.template, found.replicas) for name, found in self.facts.deployments.items()}

    @cached_property
    def desired(self) -> int:
        """How many pods should exist."""
        if self.pools:
            return sum(pool.replicas for pool in self.pools.values())
        replicas = number(self.body, "spec", "replicas")
        return 1 if replicas is None else replicas

    @cached_property
    def refusal(self) -> Explanation | None:
        """Why the spec is not applied."""
        return (
            explanation_of(self.problem.reason, self.problem.message)
            if isinstance(self.problem, InvalidError)
            else None
        )

    @cached_property
    def live(self) -> tuple[PodFacts, ...]:
        return tuple(pod for pod in self.facts.pods if pod.live)

    @cached_property
    def newest(self) -> tuple[PodFacts, ...]:
        """The live pods made from the target's templates."""
        templates = self._templates
        return tuple(pod for pod in self.live if not templates or pod.template in templates)

    @property
    def fetching(self) -> tuple[PodFacts, ...]:
        """The pods that bring the target's model to their nodes: the newest ones, and those that prefetch."""
        return (*self.newest, *self.facts.prefetch_pods)

    @cached_property
    def _templates(self) -> frozenset[str]:
        return frozenset(pool.template for pool in self.pools.values() if pool.template)

    @cached_property
    def old(self) -> tuple[PodFacts, ...]:
        return tuple(pod for pod in self.live if pod not in self.newest)

    @cached_property
    def answering(self) -> tuple[PodFacts, ...]:
        """The pods that are ready; not those whose models were not ready at their last report."""
        unread = Reasons.MODELS_NOT_READY.name in self._held
        return tuple(
            pod
            for pod in self.live
            if answers(pod, self.now) and not (unread and pod.models is not None and pod.index is None)
        )

    @cached_property
    def current(self) -> bool:
        """Each pool's Deployment is as desired, and its controller has observed that."""
        found = self.facts.deployments
        return bool(self.pools) and all(
            name in found
            and found[name].observed
            and (found[name].template, found[name].replicas) == (pool.template, pool.replicas)
            for name, pool in self.pools.items()
        )

    @cached_property
    def complete(self) -> bool:
        """Exactly the desired pods exist, and all answer."""
        all_answer = all(pod in self.answering for pod in self.newest)
        return self.current and all_answer and len(self.newest) == self.desired and not self.old

    @cached_property
    def found(self) -> tuple[tuple[PodFacts, Explanation], ...]:
        """Explanations of pods that are not ready, the most advanced first, problems before others."""
        context = PodContext(
            key=self.key,
            target=self.target,
            facts=self.facts,
            held=self._held,
            usual=self.usual,
            old_pods_serve=any(pod in self.answering for pod in self.old),
            now=self.now,
        )
        found = [(pod, why) for pod in self._unready if (why := explain(pod, context))]
        return tuple(sorted(found, key=lambda f: (-f[0].stage, not f[1].is_problem, f[0].name)))

    @property
    def _unready(self) -> tuple[PodFacts, ...]:
        """Pods that explain why the service is not ready: those of the newest that are not, or a recently failed one.

        A ReplicaSet replaces a pod that a node rejects at once, again and again: the failed pod is preferred to its
        fresh replacement, so that the reason does not flap. A terminating pod that ends as failed is no failure.
        """
        waiting = tuple(pod for pod in self.newest if pod not in self.answering)
        over = (p for p in self.facts.pods if p.phase == "Failed" and not p.stopping and p.template in self._templates)
        latest = max(over, key=lambda pod: pod.created or LONG_AGO, default=None)
        if latest is None or (self.newest and not waiting):
            return waiting
        fresh = all(pod.stage is Stage.UNSCHEDULED and not pod.refused for pod in waiting)
        again = fresh and age_s(latest, self.now) < REFUSED_AGAIN_S
        return (latest,) if again or not self.newest else waiting

    @cached_property
    def usual(self) -> StartupStatus | None:
        """What the last start took, as the stored status has it."""
        return readable(StartupStatus, self.stored.get("startup"))

    @property
    def _held(self) -> Mapping[str, Explanation]:
        """Problems and progress of the present spec in the stored status, by reason."""
        return {
            text(stored, "reason"): Explanation(
                text(stored, "reason"),
                text(stored, "message"),
                Kind.UNDER_WAY if text(stored, "reason") == Reasons.FETCHING.name else Kind.PROBLEM,
            )
            for stored in entries(self.stored, "conditions")
            if stored.get("status") == "False" and stored.get("observedGeneration") == self.generation
        }

    @cached_property
    def lacking(self) -> Explanation | None:
        """Why desired pods do not exist; read from the Deployment only when it could make them now."""
        if len(self.newest) >= self.desired:
            return None
        if refused := next((self.facts.deployments[name].refusal for name in self._refused), None):
            return admission_refusal(refused, self.key.namespace)
        return None if self.found else Reasons.CREATING.explain()

    @property
    def _refused(self) -> Iterator[str]:
        """The pools that lack pods which their Deployment cannot make."""
        for name, found in self.facts.deployments.items():
            pool = self.pools.get(name)
            if pool and found.refusal and sum(pod.template == pool.template for pod in self.newest) < pool.replicas:
                yield name

    @cached_property
    def under_way(self) -> Explanation | None:
        """What brings the service nearer to its spec now."""
        if isinstance(self.problem, NotReadyError):
            return waited_for(self.problem)
        moving = next((why for why in self._explanations if not why.is_problem), None)
        if moving or self.complete:
            return moving
        return None if self.current and self._explanations else self.rolling_out

    @cached_property
    def blocked(self) -> Explanation | None:
        """What holds it up, when nothing is under way."""
        if self.complete or self.under_way:
            return None
        return self.worst

    @property
    def worst(self) -> Explanation | None:
        """The most telling problem: why pods are refused, before the problems of those that exist."""
        return next((why for why in self._explanations if why.is_problem), None)

    @property
    def _explanations(self) -> list[Explanation]:
        return [*([self.lacking] if self.lacking else []), *(why for _, why in self.found)]

    @property
    def rolling_out(self) -> Explanation:
        return Reasons.ROLLING_OUT.explain(ready=len(self.answering), desired=self.desired)

    @property
    def scaled_to_zero(self) -> Explanation:
        return Reasons.SCALED_TO_ZERO.explain(namespace=self.key.namespace, name=self.key.name)

    @property
    def paused(self) -> Explanation | None:
        """That nothing is written, where the service is paused."""
        if text(self.body, "metadata", "annotations", names.ANNOTATION_PAUSED) != "true":
            return None
        return Reasons.PAUSED.explain(
            namespace=self.key.namespace, name=self.key.name, annotation=names.ANNOTATION_PAUSED
        )

    @property
    def lead(self) -> Explanation:
        """The explanation of a service without a ready replica."""
        if self.found:
            return self.found[0][1]
        if self.paused and not self.facts.deployments:
            return self.paused
        if isinstance(self.problem, NotReadyError):
            return waited_for(self.problem)
        return self.lacking or self.under_way or Reasons.CREATING.explain()

    @property
    def url(self) -> str:
        return f"http://{self.key.name}.{self.key.namespace}.svc" if self.target else text(self.stored, "url")


def waited_for(problem: NotReadyError) -> Explanation:
    """What will end without a change of the spec, and holds up the apply until then."""
    return explanation_of(problem.reason, problem.message, Kind.UNDER_WAY)
