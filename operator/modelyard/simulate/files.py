"""Reads what a person wrote: the scaling block of a service, and a profile of an engine."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelyard.api.scaling import Scaling
from modelyard.api.validation import problems
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.profiles import PROFILES, Measured, fit
from modelyard.simulate.invalid import InvalidInputError


def scaling(path: Path) -> Scaling:
    """The settings in a file: an InferenceService, alone or among other objects, or its scaling block.

    Raises InvalidInputError.
    """
    blocks = [block for document in _documents(path) if (block := _block(document)) is not None]
    if len(blocks) != 1:
        raise InvalidInputError(
            f"{path} has {len(blocks)} scaling blocks: it must have one InferenceService with spec.scaling, or what "
            "stands below scaling"
        )
    if unknown := list(_unknown(Scaling, blocks[0], "")):
        raise InvalidInputError(f"{path}: {'; '.join(unknown)}")
    try:
        found = Scaling.model_validate(blocks[0])
    except ValidationError as error:
        raise InvalidInputError(f"{path}: {'; '.join(problems(Scaling, error))}") from None
    floors = [found.min_replicas, *(schedule.min_replicas for schedule in found.schedules)]
    if max(floors) > found.max_replicas:
        raise InvalidInputError(f"{path}: minReplicas, also that of a schedule, must not exceed maxReplicas")
    return found


def _block(document: Any) -> Any:
    if not isinstance(document, Mapping):
        return None
    if document.get("kind") == "InferenceService":
        spec = document.get("spec")
        return spec.get("scaling") if isinstance(spec, Mapping) else None
    if "kind" in document:
        return None
    return document.get("scaling", document)


def _unknown(model: type[BaseModel], block: Any, place: str) -> Iterator[str]:
    """The API server would drop them with a warning."""
    if not isinstance(block, Mapping):
        return
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, value in block.items():
        if key not in fields:
            yield f"{place}{key} is unknown: the known keys are {', '.join(fields)}"
        elif inner := _model_in(fields[key].annotation):
            for one in value if isinstance(value, list) else [value]:
                yield from _unknown(inner, one, f"{place}{key}.")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field has, also where it is optional or a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for held in get_args(annotation) if (found := _model_in(held))), None)


def _documents(path: Path) -> list[Any]:
    try:
        return [document for document in yaml.safe_load_all(read(path)) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{path} is no YAML: {error}") from None


def read(path: Path) -> str:
    """A file's text. Raises InvalidInputError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from None


class _Figures(BaseModel):
    """A profile as a file."""

    model_config = ConfigDict(extra="forbid")

    iteration_seconds: dict[int, float] = Field(min_length=1)
    kv_read_seconds_per_token: float = Field(ge=0)
    kv_capacity_tokens: int = Field(ge=1)
    batched_tokens_limit: int = Field(default=2048, ge=1)
    running_limit: int = Field(default=256, ge=1)
    gpus: int = Field(default=1, ge=1)


def profile(name: str) -> EngineProfile:
    """One of those that come with modelyard, or the figures in a YAML file. Raises InvalidInputError."""
    if name in PROFILES:
        return PROFILES[name]
    path = Path(name)
    if not path.is_file():
        raise InvalidInputError(f"there is no profile {name}, nor a file: there are {', '.join(sorted(PROFILES))}")
    documents = _documents(path)
    try:
        figures = _Figures.model_validate(documents[0] if documents else {})
    except ValidationError as error:
        raise InvalidInputError(f"{path}: {'; '.join(problems(_Figures, error))}") from None
    try:
        return EngineProfile(
            path.stem,
            tuple(sorted((float(tokens), seconds) for tokens, seconds in figures.iteration_seconds.items())),
            figures.kv_read_seconds_per_token,
            figures.kv_capacity_tokens,
            figures.batched_tokens_limit,
            figures.running_limit,
            figures.gpus,
        )
    except ValueError as error:
        raise InvalidInputError(f"{path}: {error}") from None


_COLUMNS = ("tokens", "context_tokens", "seconds")


def measured(path: Path, kv_capacity_tokens: int) -> EngineProfile:
    """A profile fitted to a CSV of iterations: their tokens, the tokens whose KV they read, their seconds.

    Raises InvalidInputError.
    """
    rows = csv.DictReader(read(path).splitlines())
    if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
        raise InvalidInputError(
            f"{path} has no column {', '.join(missing)}: its first line must be {','.join(_COLUMNS)}"
        )
    found = []
    for row in rows:
        try:
            found.append(Measured(*(float(row[name]) for name in _COLUMNS)))
        except (TypeError, ValueError):
            raise InvalidInputError(f"{path}, line {rows.line_num}: each column must be a number") from None
        if not (found[-1].tokens >= 1 and found[-1].context_tokens >= 0 and found[-1].seconds > 0):
            raise InvalidInputError(f"{path}, line {rows.line_num}: an iteration has tokens and takes time")
    try:
        return fit(path.stem, found, kv_capacity_tokens)
    except ValueError as error:
        raise InvalidInputError(f"{path}: {error}") from None
