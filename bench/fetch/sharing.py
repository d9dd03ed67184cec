"""What one cache gives: a killed fetch goes on, pods that come together fetch once, and a hit costs nothing."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fetch.access_log import Served, file_bytes, largest_part_bytes, most_at_once
from bench.fetch.clients import Command, fetcher
from bench.fetch.measure import ClientError, Sample, compare, run
from bench.fetch.nginx import Nginx
from bench.fetch.places import Place
from tests.support.background_process import BackgroundProcess
from tests.support.eventually import eventually
from tests.support.ports import free_port

PART_LIMIT_BYTES = 16 * 2**20
"""What a part of a large file may be: S3's clients use 5 to 16 MiB."""
_LIMIT_S = 120.0
_PODS = 4
_HITS = 5


@dataclass(frozen=True)
class Refetched:
    """How much of a model the server gave twice since the first fetch was killed.

    ``parts`` counts it in the largest part that was requested, or in PART_LIMIT_BYTES if that is less: whole files are
    no parts. ``connections`` is how many were at work at once.
    """

    parts: float
    connections: int


@dataclass(frozen=True)
class Hit:
    """A pod whose model is here: seconds until its first request, until its last answer, and from there to its end."""

    start_s: float
    authorisation_s: float
    rest_s: float
    cpu_s: float
    file_bytes: int


@dataclass
class Shared:
    """All of it over one kind of connection; None and empty where it could not be measured."""

    suffix: str
    refetched: Refetched | None = None
    times_fetched: float | None = None
    hits: Sequence[Hit] = ()


def share(server: Nginx, place: Place, suffix: str, folder: Path, log: Callable[[str], None]) -> Shared:
    """Measures all of it; what fails is reported, and the rest goes on."""
    shared = Shared(suffix)
    try:
        shared.refetched = _killed_at_half(server, place, folder)
    except (ClientError, AssertionError) as error:
        log(f"killed at half: FAILED: {error}")
    try:
        shared.times_fetched, shared.hits = _pods_together(server, place, folder)
    except (ClientError, AssertionError) as error:
        log(f"{_PODS} pods together: FAILED: {error}")
    return shared


@contextmanager
def _node(folder: Path) -> Iterator[Path]:
    node = Path(tempfile.mkdtemp(prefix="node-", dir=folder))
    try:
        yield node
    finally:
        shutil.rmtree(node)


def _killed_at_half(server: Nginx, place: Place, folder: Path) -> Refetched:
    """Kills a fetch when half of the model has come, and lets another one of the same cache finish."""
    with _node(folder) as node, server.watched() as requests:
        port = free_port()
        command = fetcher(place, node, "killed", port)
        with BackgroundProcess(command.arguments, command.environment) as process:
            eventually(
                lambda: _bytes_done(port),
                lambda done: 2 * done >= place.model.size_bytes,
                within_s=_LIMIT_S,
                every_s=0.005,
            )
            process.signal(signal.SIGKILL)
            if process.ends() != -signal.SIGKILL:
                raise ClientError("the fetch was over before it could be killed: use a larger BENCH_SIZE_MB")
        _fetch_all(place, node, ("next",))
    part_bytes = min(largest_part_bytes(requests), PART_LIMIT_BYTES)
    return Refetched((file_bytes(requests) - place.model.size_bytes) / part_bytes, most_at_once(requests))


def _pods_together(server: Nginx, place: Place, folder: Path) -> tuple[float, list[Hit]]:
    """How often the model was fetched when pods began at the same time; then the hits of pods after them."""
    with _node(folder) as node:
        with server.watched() as requests:
            _fetch_all(place, node, tuple(f"pod-{number}" for number in range(_PODS)))
        hits = [_hit(server, fetcher(place, node, f"hit-{number}", free_port())) for number in range(_HITS)]
    return file_bytes(requests) / place.model.size_bytes, hits


def client_start(folder: Path) -> Sample:
    """What boto3 alone takes to make a client: no program that uses it can start in less."""
    python = (sys.executable, "-c", "import boto3; boto3.client('s3', region_name='us-east-1')")
    return run(Command(python, {"AWS_EC2_METADATA_DISABLED": "true"}, folder), _LIMIT_S)


def _fetch_all(place: Place, node: Path, pods: tuple[str, ...]) -> None:
    """One fetch of each pod, all at the same time. Raises ClientError unless all of them have the model then."""
    commands = [fetcher(place, node, pod, free_port()) for pod in pods]
    with ExitStack() as processes:
        running = [
            processes.enter_context(BackgroundProcess(command.arguments, command.environment)) for command in commands
        ]
        for process in running:
            if _code(process) != 0:
                raise ClientError(f"one of the fetches failed: {process.output[-2000:].strip()}")
    for entry in {command.result.resolve() for command in commands}:
        compare(entry, place.model.folder)


def _code(process: BackgroundProcess) -> int | None:
    """How it ended; None when it did not within the time."""
    try:
        return process.ends(_LIMIT_S)
    except subprocess.TimeoutExpired:
        return None


def _hit(server: Nginx, command: Command) -> Hit:
    with server.watched() as requests:
        sample = run(command, _LIMIT_S)
    return hit_of(requests, sample)


def hit_of(requests: list[Served], sample: Sample) -> Hit:
    """A run's time in three: before, between and after its requests."""
    first_s = min(request.began_s for request in requests)
    last_s = max(request.ended_s for request in requests)
    return Hit(
        start_s=first_s - sample.began_s,
        authorisation_s=last_s - first_s,
        rest_s=sample.began_s + sample.wall_s - last_s,
        cpu_s=sample.cpu_s,
        file_bytes=file_bytes(requests),
    )


def _bytes_done(port: int) -> int:
    """The fetcher's progress; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            state: dict[str, Any] = json.load(answer)
    except urllib.error.URLError:
        return 0
    return int(state["bytesDone"])
