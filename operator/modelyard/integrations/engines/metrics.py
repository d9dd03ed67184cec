"""Where an engine reports its load, and under which names: plain data, which integrations/signals reads.

Names change from release to release, so each signal has several definitions, and the page itself shows which one holds:
images of others have version numbers of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Metric:
    """Samples of one name, as the page has it, which have all labels of ``where``.

    With ``value_labels`` a sample counts as the product of the numbers in these labels.
    """

    name: str
    where: Labels = ()
    value_labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Definition:
    """One way in which a signal follows from metrics, all of which must be present.

    ``sum`` adds up all samples, of all models and engines of the server, ``mean`` is for shares. A ``histogram`` has
    one metric, named without its suffix. ``factor`` leads to our unit. ``releases`` are those that report it, and
    ``source`` is where that is known from. ``wrong_if_decoupled``: the server counts a request of a decoupled model,
    one that streams its answer, as done once it has been accepted. ``moves_at_work``: the counter moves with each step
    of the engine, not only when a request is accepted or ends.
    """

    metrics: tuple[Metric, ...]
    source: str
    releases: str = "all"
    combined: Literal["sum", "mean", "histogram"] = "sum"
    factor: float = 1.0
    wrong_if_decoupled: bool = False
    moves_at_work: bool = False

    @cached_property
    def sample_names(self) -> tuple[str, ...]:
        """The names of the samples that it needs."""
        if self.combined == "histogram":
            return tuple(f"{self.metrics[0].name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return tuple(metric.name for metric in self.metrics)


@dataclass(frozen=True)
class DecoupledModels:
    """How to learn whether a server's models are decoupled: from the configuration of each.

    ``metric`` has a sample for each model, with its name in ``label``; ``path`` is the configuration's, with the name
    at ``{model}``, on ``port``.
    """

    metric: str
    label: str
    port: int
    path: str


@dataclass(frozen=True, eq=False)
class EngineMetrics:
    """An engine's page in the Prometheus text format, at ``path`` on ``port`` of the pod.

    ``signals`` are the definitions by field of EngineSample, the newest first. ``remedy`` is for people, where the page
    has none of them. ``decoupled_models`` is None where no definition is wrong for any model.

    ``only_with``: fields that not every server of this engine has, each with metrics that show, by any sample of one of
    them, that this server should have it. Where there is none, the field is not missing.
    """

    port: int
    path: str
    signals: Mapping[str, tuple[Definition, ...]]
    remedy: str
    decoupled_models: DecoupledModels | None = None
    only_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def sample_names(self) -> frozenset[str]:
        """The names of all samples that are to be read."""
        definitions = (definition for several in self.signals.values() for definition in several)
        of_signals = {name for definition in definitions for name in definition.sample_names}
        return frozenset(of_signals.union(*self.only_with.values()))
