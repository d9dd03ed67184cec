"""The fetcher with a volume and a Secret of its own, an attempt or the program; and in front of a real S3 server."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelyard.contract import names
from modelyard.contract.cache_layout import CacheLayout
from modelyard.contract.fetch_report import FetchReport
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.download.verification import WrongBytes
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.fetch import fetch
from modelyard.fetcher.report.state import State
from tests.support.background_process import REPOSITORY, BackgroundProcess
from tests.support.cache_agent import CacheAgent, cache_agent
from tests.support.eventually import eventually
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.object_store import MODELS, READER, ObjectStore, object_store
from tests.support.ports import free_port

POD_UID = "6b0c1d3e-8f7a-4c55-9d0e-2f1a3b4c5d6e"


class Pod:
    """One pod's fetcher: its environment, where it writes, and its runs one after the other."""

    command = (sys.executable, "-m", "modelyard.fetcher")

    def __init__(self, folder: Path, runs: ExitStack, uid: str = POD_UID, shared_cache: Path | None = None) -> None:
        self._runs = runs
        self._port = free_port()
        self._wrong_bytes = WrongBytes()
        self.uid = uid
        self.cache = shared_cache or folder / "cache"
        self.secret = folder / "secret"
        self.launcher_folder = folder / "launcher"
        self.termination_log = folder / "termination-log"
        for made in (self.cache, self.secret, self.launcher_folder):
            made.mkdir(exist_ok=True, parents=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY / "operator"),
            "AWS_EC2_METADATA_DISABLED": "true",
            names.ENV_POD_UID: uid,
            names.ENV_CREDENTIALS_FOLDER: str(self.secret),
            names.ENV_CACHE: str(self.cache),
            names.ENV_LAUNCHER_FOLDER: str(self.launcher_folder),
            names.ENV_STATE_PORT: str(self._port),
            names.ENV_TERMINATION_LOG: str(self.termination_log),
        }

    def reads_s3(self, endpoint: str) -> None:
        """Its model is s3://models/model, and its Secret that of a reader."""
        self.environment |= {
            names.ENV_MODEL_URI: f"s3://{MODELS}/model",
            names.ENV_S3_ENDPOINT: endpoint,
            names.ENV_S3_ADDRESSING_STYLE: "path",
            names.ENV_CREDENTIALS_SECRET: "s3-read",
        }
        self.give_secret(*READER)

    def give_secret(self, key_id: str, secret_key: str) -> None:
        self.give_keys({"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret_key})

    def give_keys(self, keys: dict[str, str]) -> None:
        """Puts keys into the Secret, with the line feed that many a Secret has."""
        for key, value in keys.items():
            (self.secret / key).write_text(f"{value}\n")

    def take_secret(self) -> None:
        for file in self.secret.iterdir():
            file.unlink()

    def attempt(self) -> FetchReport:
        """One attempt, in this process. Raises what it raises."""
        state = State(self.environment[names.ENV_MODEL_URI], None, lambda: datetime.now(UTC))
        fetch(Configuration.from_environment(self.environment), state, self._wrong_bytes)
        return state.report()

    def failed_attempt(self) -> FetchError:
        """One attempt, in this process, which must fail; afterwards there is no model."""
        with pytest.raises(FetchError) as failure:
            self.attempt()
        assert self.files() == {}
        return failure.value

    def start(self, *before: str) -> BackgroundProcess:
        """The whole program, as its container runs it; ``before`` is a command that runs it."""
        return self._runs.enter_context(BackgroundProcess((*before, *self.command), self.environment))

    def run(self) -> BackgroundProcess:
        """Runs to its end, which must be a good one."""
        running = self.start()
        assert running.ends() == 0, running.output
        return running

    def state(self) -> dict[str, Any]:
        """What the state port answers; empty while nothing answers there."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/", timeout=10) as answer:
                state: dict[str, Any] = json.load(answer)
                return state
        except urllib.error.URLError:
            return {}

    def last_report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.termination_log.read_text())
        return report

    def error(self) -> dict[str, str]:
        """Waits until the fetcher reports an error."""
        error: dict[str, str] = eventually(self.state, lambda state: bool(state.get("error")))["error"]
        return error

    def bytes_come(self) -> None:
        """Waits until a download is under way."""
        eventually(self.state, lambda state: state.get("bytesDone", 0) > 0)

    def model(self) -> Path:
        """What the engine's mount would show."""
        return CacheLayout(self.cache).link(self.uid)

    def files(self) -> dict[str, bytes]:
        """The model as the engine would see it; empty when there is none."""
        root = self.model()
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def left_in_staging(self) -> list[Path]:
        staging = CacheLayout(self.cache).staging
        return list(staging.iterdir()) if staging.exists() else []


@pytest.fixture(scope="session")
def running_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(running_store: ObjectStore) -> ObjectStore:
    """The server, with an empty bucket."""
    pages = running_store.admin.get_paginator("list_objects_v2").paginate(Bucket=MODELS)
    for key in [item["Key"] for page in pages for item in page.get("Contents", [])]:
        running_store.admin.delete_object(Bucket=MODELS, Key=key)
    return running_store


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt in this process reads its proxy as its container would: from variables."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def bare_pod(tmp_path: Path) -> Iterator[Pod]:
    """A pod that is not configured yet: without a model to fetch."""
    with ExitStack() as runs:
        yield Pod(tmp_path, runs)


@pytest.fixture
def pod(bare_pod: Pod, store: ObjectStore) -> Pod:
    bare_pod.reads_s3(store.endpoint)
    return bare_pod


class Node:
    """One namespace's part of a node's cache, as the node agent makes it, and pods that share it."""

    def __init__(self, folder: Path, runs: ExitStack, endpoint: str) -> None:
        self._folder = folder
        self._runs = runs
        self._endpoint = endpoint
        self._pods = 0
        self.layout = CacheLayout(folder / "cache")
        for made in (self.layout.root, *self.layout.folders):
            made.mkdir()
            made.chmod(0o1777)  # whatever the umask

    def pod(self) -> Pod:
        """One more pod, which is not started yet."""
        self._pods += 1
        uid = f"00000000-0000-4000-8000-{self._pods:012}"
        pod = Pod(self._folder / uid, self._runs, uid, self.layout.root)
        pod.reads_s3(self._endpoint)
        return pod


@pytest.fixture
def node(tmp_path: Path, link: FaultyProxy) -> Iterator[Node]:
    """Its pods reach the server through the link."""
    with ExitStack() as runs:
        yield Node(tmp_path, runs, link.endpoint)


@pytest.fixture
def agent(node: Node) -> Iterator[CacheAgent]:
    """Answers on the node's socket, and grants each request."""
    with cache_agent(node.layout.agent_socket) as agent:
        yield agent


@pytest.fixture
def link(store: ObjectStore) -> Iterator[FaultyProxy]:
    """Stands between the pods of a node and the server."""
    with faulty_proxy(store.port) as proxy:
        yield proxy


@pytest.fixture
def proxy(store: ObjectStore, pod: Pod) -> Iterator[FaultyProxy]:
    """Stands between the fetcher and the server."""
    with faulty_proxy(store.port) as proxy:
        pod.environment[names.ENV_S3_ENDPOINT] = proxy.endpoint
        yield proxy
