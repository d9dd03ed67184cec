"""From an engine's metrics page to its sample."""

from modelyard.integrations.engines.metrics import EngineMetrics
from modelyard.integrations.signals.engine_metrics import DEFAULT_INTERVAL_S, EngineSample, Unknown
from modelyard.integrations.signals.engine_samples import SampleReader
from modelyard.integrations.signals.metrics_page import MetricsPage, declares, page_label
from modelyard.integrations.signals.model_configuration import looked_up


class EnginePage:
    """Parses pages of one engine."""

    def __init__(self, engine: EngineMetrics) -> None:
        self._engine = engine
        self._page = MetricsPage(engine.sample_names)
        self._reader = SampleReader(engine, page_label)
        decoupled = engine.decoupled_models
        self._models = MetricsPage([decoupled.metric]) if decoupled else None

    def parse(
        self,
        page: bytes,
        *,
        time_s: float,
        place: str,
        decoupled: bool | None = False,
        interval_s: float = DEFAULT_INTERVAL_S,
    ) -> EngineSample | Unknown:
        """The sample of a page that came at ``time_s`` from ``place``, which the causes name.

        ``decoupled`` is whether one of the models is decoupled, None if that is unknown. ``interval_s`` is the time
        between two pages.
        """
        try:
            samples = self._page.samples(page)
        except ValueError as error:
            return Unknown(f"{place} {error}.")
        return self._reader.read(
            samples,
            time_s=time_s,
            place=place,
            declares=lambda name: declares(page, name),
            decoupled=decoupled,
            interval_s=interval_s,
        )

    def models(self, page: bytes) -> frozenset[str] | None:
        """The models on the page whose configuration matters; None where they are too many, or named too long."""
        decoupled = self._engine.decoupled_models
        if self._models is None or decoupled is None:
            return frozenset()
        try:
            samples = self._models.samples(page).get(decoupled.metric, ())
        except ValueError:
            return None
        return looked_up(page_label(labels, decoupled.label) for labels, _ in samples)
