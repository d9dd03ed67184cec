"""The clients that are compared, each as a command that puts a place's model into a folder."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from bench.fetch.container import packages
from bench.fetch.model import PREFIX
from bench.fetch.places import Place
from modelyard.contract import names
from modelyard.contract.cache_layout import CacheLayout
from tests.support.background_process import REPOSITORY
from tests.support.ports import free_port

_PROGRAMS = Path(__file__).parent / "programs"
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Command:
    """What to run, with which environment and no other, and where the model is then."""

    arguments: tuple[str | Path, ...]
    environment: Mapping[str, str]
    result: Path


Client = Callable[[Place, Path], Command]
"""Given where to fetch from, and an empty folder to fetch to."""


def modelyard(place: Place, folder: Path) -> Command:
    """The init container's program, with nothing set but where its things are."""
    return fetcher(place, folder, pod_uid="pod", state_port=free_port())


def fetcher(place: Place, folder: Path, pod_uid: str, state_port: int) -> Command:
    """The same for one of several pods; the cache is ``folder/cache``."""
    own = folder / pod_uid
    (own / "credentials").mkdir(parents=True)
    (own / "launcher").mkdir()
    for key, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), place.key, strict=True):
        (own / "credentials" / key).write_text(value)
    cache = folder / "cache"
    environment = {
        "PATH": _SYSTEM_PATH,
        "PYTHONPATH": f"{packages()}:{REPOSITORY / 'operator'}",
        "AWS_EC2_METADATA_DISABLED": "true",
        names.ENV_MODEL_URI: f"s3://{place.bucket}/{PREFIX}",
        names.ENV_S3_ENDPOINT: place.endpoint,
        names.ENV_S3_ADDRESSING_STYLE: "path",
        names.ENV_CREDENTIALS_SECRET: "bench",
        names.ENV_POD_UID: pod_uid,
        names.ENV_CREDENTIALS_FOLDER: str(own / "credentials"),
        names.ENV_LAUNCHER_FOLDER: str(own / "launcher"),
        names.ENV_TERMINATION_LOG: str(own / "termination-log"),
        names.ENV_CACHE: str(cache),
        names.ENV_STATE_PORT: str(state_port),
    }
    if place.ca:
        environment[names.ENV_CA_BUNDLE] = str(place.ca)
    arguments = (sys.executable, "-m", "modelyard.fetcher")
    return Command(arguments, environment, CacheLayout(cache).link(pod_uid))


def s5cmd(place: Place, folder: Path) -> Command:
    """The program itself: the package's command of that name starts it from Python, which would be counted."""
    program = next(file for file in distribution("s5cmd").files or () if file.match("s5cmd/bin/s5cmd"))
    options = ("--endpoint-url", place.endpoint, "--log", "error")
    copy = ("cp", f"s3://{place.bucket}/{PREFIX}/*", f"{folder}/")
    return Command((Path(str(program.locate())), *options, *copy), _environment(place), folder)


def boto3(place: Place, folder: Path) -> Command:
    """`download_file` of each object, with boto3's own defaults: eight threads and parts of 8 MiB."""
    return _program("boto3_download.py", place, folder)


def awscrt(place: Place, folder: Path) -> Command:
    """The AWS Common Runtime's own S3 client, sized for 10 Gbit/s and 1 GiB of memory."""
    return _program("awscrt_download.py", place, folder)


def copy(place: Place, folder: Path) -> Command:
    """The floor: the same bytes from memory to the disk, and no network."""
    copied = folder / PREFIX
    return Command(("cp", "-r", "--reflink=never", place.model.folder, copied), {"PATH": _SYSTEM_PATH}, copied)


def _program(name: str, place: Place, folder: Path) -> Command:
    arguments = (sys.executable, _PROGRAMS / name, place.endpoint, place.bucket, PREFIX, folder)
    return Command(arguments, _environment(place), folder)


def _environment(place: Place) -> dict[str, str]:
    key_id, secret_key = place.key
    environment = {
        "PATH": _SYSTEM_PATH,
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if place.ca:
        environment |= {"AWS_CA_BUNDLE": str(place.ca), "SSL_CERT_FILE": str(place.ca)}
    return environment


CLIENTS: Mapping[str, Client] = {
    "modelyard": modelyard,
    "s5cmd": s5cmd,
    "boto3": boto3,
    "awscrt": awscrt,
    "cp": copy,
}
