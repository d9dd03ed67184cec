"""Measurements of engines that others published, as rows that a profile can be fitted to or compared with."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median

from modelyard.scaling.simulator.profiles import PROFILES, Measured, fit, mean_error


@dataclass(frozen=True)
class Beside:
    """A profile beside what others measured: the mean error of its times, and of a fit to the same rows."""

    profile: str
    source: str
    rows: int
    error: float
    fitted_error: float


def beside(folder: Path) -> list[Beside]:
    """Those of which the folder of the traces has measurements."""
    found = []
    with (folder / "vidur_linear_ops_ms_per_iteration.csv").open(encoding="utf-8") as lines:
        rows = vidur(lines, "a100", "Meta-Llama-3-8B", 1)
        found.append(_beside("a100-llama-8b", "Vidur, A100, linear operations only", rows))
    with (folder / "sageserve_perf_model_llama2-70b_bloom_a100_h100.csv").open(encoding="utf-8") as lines:
        rows = sageserve(lines, "llama2-70b", "h100-80gb", 4)
        found.append(_beside("h100-llama-70b", "SageServe, 4 x H100, decoding", rows))
    return found


def _beside(name: str, source: str, rows: list[Measured]) -> Beside:
    profile = PROFILES[name]
    fitted = fit(name, rows, profile.kv_capacity_tokens)
    return Beside(name, source, len(rows), mean_error(profile, rows), mean_error(fitted, rows))


def vidur(lines: Iterable[str], gpu: str, model: str, tensor_parallel: int) -> list[Measured]:
    """Linear operations of one iteration, without attention and all-reduce (microsoft/vidur, MIT)."""
    return [
        Measured(float(row["num_tokens"]), 0.0, float(row["linear_ops_ms_all_layers_no_attention_no_allreduce"]) / 1000)
        for row in csv.DictReader(lines)
        if (row["gpu"], row["model"], int(row["tp"])) == (gpu, model, tensor_parallel)
    ]


def sageserve(lines: Iterable[str], model: str, hardware: str, tensor_parallel: int) -> list[Measured]:
    """Decoding, one row for each size of batch and prompt (shashwatj07/SageServe, MIT): a batch of requests that each
    have their prompt and half of their answer so far. The files give a token's time in ms, or all tokens' in seconds;
    the time of the whole shows which. Medians of the repetitions.
    """
    rows = [
        row
        for row in csv.DictReader(lines)
        if (row["model"], row["hardware"], int(row["tensor_parallel"])) == (model, hardware, tensor_parallel)
    ]
    return [_median(list(group)) for _, group in groupby(sorted(rows, key=_shape), key=_shape)]


def _shape(row: dict[str, str]) -> tuple[int, int, int]:
    return int(row["prompt_size"]), int(row["batch_size"]), int(row["token_size"])


def _median(rows: list[dict[str, str]]) -> Measured:
    prompt, batch, tokens = _shape(rows[0])
    return Measured(batch, batch * (prompt + tokens / 2), median(_token_s(row, tokens) for row in rows))


def _token_s(row: dict[str, str], tokens: int) -> float:
    prompt, token, whole = (float(row[name]) for name in ("prompt_time", "token_time", "e2e_time"))
    return token / tokens if abs(whole - prompt - token) < 0.1 * whole else token / 1000
