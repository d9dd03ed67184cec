"""The operator as a process of its own, beside a test API server."""

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from modelyard.api import kinds
from modelyard.contract import names
from tests.support.api_client import Object
from tests.support.apiserver import LIMITED, OPERATOR, REPOSITORY, ApiServer
from tests.support.background_process import BackgroundProcess
from tests.support.eventually import eventually
from tests.support.ports import free_port

HOME = "modelyard-system"
SETTINGS = "fetch_image: registry.example/modelyard-fetch:1\n"
BASE = REPOSITORY / "deploy" / "base"
NAMESPACED = REPOSITORY / "deploy" / "overlays" / "namespaced"


class Program:
    """A running operator."""

    def __init__(self, process: BackgroundProcess, port: int) -> None:
        self.process = process
        self._port = port

    def answers(self, path: str) -> tuple[int, str]:
        """Status and text of one of its own URLs; 0 while nothing listens."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self._port}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def is_ready(self) -> bool:
        return self.answers("/readyz")[0] == 200

    def log(self) -> list[Object]:
        """Its log lines."""
        return [json.loads(line) for line in self.process.output.splitlines()]

    def ends_without_trouble(self) -> None:
        """Send it SIGTERM; it must exit with 0, having logged nothing above info."""
        self.process.signal(signal.SIGTERM)
        assert self.process.ends() == 0
        assert [line for line in self.log() if line["level"] in ("WARNING", "ERROR", "CRITICAL")] == []


def started(
    apiserver: ApiServer,
    user: str,
    folder: Path,
    settings_text: str = SETTINGS,
    *,
    home: str = HOME,
    url: str = "",
    is_alone: bool = True,
) -> Program:
    """An operator that acts as ``user``, just started; its settings are written into ``folder``.

    ``home`` is the namespace that it is installed in, ``url`` where it finds the API server if not where that is. One
    that is alone finds no Lease of a former one, whose time it would have to wait for.
    """
    if is_alone:
        apiserver.kubectl("delete", "lease", names.LEADER_LEASE, "-n", home, "--ignore-not-found")
    settings = folder / "settings.yaml"
    settings.write_text(settings_text)
    port = free_port()
    environment = {
        "KUBECONFIG": str(apiserver.kubeconfig(user, url)),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY / "operator"),
    }
    options = [f"--settings={settings}", f"--port={port}", f"--namespace={home}"]
    return Program(BackgroundProcess([sys.executable, "-m", "modelyard.controller", *options], environment), port)


@contextmanager
def ready(apiserver: ApiServer, folder: Path) -> Iterator[Program]:
    """An operator with the rights that deploy/ gives it, which is ready."""
    allow(apiserver)
    program = started(apiserver, OPERATOR, folder)
    with program.process:
        eventually(program.is_ready, within_s=60)
        yield program


def allow(apiserver: ApiServer) -> None:
    """Give the operator's user what deploy/ gives it."""
    apiserver.kubectl("apply", "-f", str(BASE / "namespace.yaml"))
    for roles in ("operator_role.yaml", "leader_role.yaml"):
        apiserver.kubectl("apply", "-f", str(BASE / roles))
    eventually(lambda: apiserver.may(OPERATOR, "create", kinds.EVENT, "default"))
    eventually(lambda: apiserver.may(OPERATOR, "create", kinds.LEASE, HOME))


def allow_in(apiserver: ApiServer, namespace: str) -> str:
    """Give LIMITED what deploy/overlays/namespaced gives an installation for ``namespace``; returns where that is."""
    home = "modelyard-team-a"
    for body in yaml.safe_load_all(apiserver.kubectl("kustomize", str(NAMESPACED))):
        if body["kind"] in {"Namespace", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}:
            if body["metadata"].get("namespace") == "team-a":
                body["metadata"]["namespace"] = namespace
            apiserver.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    eventually(lambda: apiserver.may(LIMITED, "create", kinds.EVENT, namespace))
    eventually(lambda: apiserver.may(LIMITED, "create", kinds.LEASE, home))
    return home
