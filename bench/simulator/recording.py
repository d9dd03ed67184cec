"""What was measured, as a file: the simulator is compared with it again without an engine."""

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Self

from bench.simulator.calibrate import Calibration
from bench.simulator.measure import Run
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.scaling.simulator.profiles import Measured

_KEPT = ("time_s", "running", "waiting", "generation_tokens_total", "prompt_tokens_total", "iterations_total")


@dataclass(frozen=True)
class Recording:
    """The calibration, and the runs under the arrivals of ``seed`` in phases of ``phase_s``."""

    seed: int
    phase_s: int
    calibration: Calibration
    runs: Sequence[Run]

    def write(self, file: Path) -> None:
        """Keep it, of each sample only what is compared."""
        calibration = asdict(self.calibration)
        calibration["measured"] = {name: astuple(row) for name, row in self.calibration.measured.items()}
        runs = [
            {"late_s": run.late_s} | {name: [_short(getattr(sample, name)) for sample in run.samples] for name in _KEPT}
            for run in self.runs
        ]
        kept = {"seed": self.seed, "phase_s": self.phase_s, "calibration": calibration, "runs": runs}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(kept) + "\n")

    @classmethod
    def read(cls, file: Path) -> Self:
        """One that was kept."""
        kept = json.loads(file.read_text())
        calibration = kept["calibration"]
        measured = {name: Measured(*row) for name, row in calibration["measured"].items()}
        return cls(
            kept["seed"],
            kept["phase_s"],
            Calibration(**(calibration | {"measured": measured})),
            [_run(run) for run in kept["runs"]],
        )


def _run(kept: dict[str, Any]) -> Run:
    columns = [kept[name] for name in _KEPT]
    return Run(
        [EngineSample(**dict(zip(_KEPT, row, strict=True))) for row in zip(*columns, strict=True)], kept["late_s"]
    )


def _short(value: float) -> float:
    return round(value, 3)
