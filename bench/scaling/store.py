"""Scores of runs that were done, kept in a file, so that the benchmark can be run in parts."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from bench.scaling.jobs import Job, Place
from modelyard.scaling.simulator.score import Score


def fingerprint(sources: Iterable[Path], place: Place) -> str:
    """Of what a score follows from: the code, and the length of a day."""
    digest = hashlib.sha256(f"{place.day_hours:g}".encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Store:
    """Scores by job, those whose fingerprint is still that of their family, by ``made_by``. What a run that was killed
    left half written is passed over.
    """

    def __init__(self, path: Path, made_by: Callable[[str], str]) -> None:
        self._path = path
        self._made_by = made_by
        self.scores: dict[Job, Score] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._load(line)

    def _load(self, line: str) -> None:
        try:
            fields = json.loads(line)
            job = Job(**fields["job"])
            if fields["made_by"] == self._made_by(job.family):
                self.scores[job] = Score(**fields["score"])
        except (ValueError, TypeError, KeyError):
            return

    def add(self, job: Job, score: Score) -> None:
        """Keep a score, at once on the disk."""
        self.scores[job] = score
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"made_by": self._made_by(job.family), "job": asdict(job), "score": asdict(score)})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
