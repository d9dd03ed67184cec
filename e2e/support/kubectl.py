"""The cluster as a person at a terminal sees it: kubectl, with its answers as plain objects."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from e2e.cluster.kind_cluster import CONTEXT, KUBECONFIG
from e2e.cluster.steps import programs_folder
from e2e.support.api_reads import ReadError, reader

Object = dict[str, Any]


class KubectlError(Exception):
    """kubectl ended with an error; the message is what it printed for the person."""


class MissingError(KubectlError):
    """What was to be read is not there."""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl in one namespace of the local cluster and, where given, as another user.

    Without a namespace each object goes into the one that it names.
    """

    namespace: str = "default"
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()

    def command(self, *arguments: str) -> list[str]:
        """The command line of one kubectl command."""
        identity = [f"--as={self.as_user}"] if self.as_user else []
        identity += [f"--as-group={group}" for group in self.as_groups]
        place = [f"--kubeconfig={KUBECONFIG}", f"--context={CONTEXT}"]
        place += [f"--namespace={self.namespace}"] if self.namespace else []
        return [str(programs_folder() / "kubectl"), *place, *identity, *arguments]

    def run(self, *arguments: str, stdin: str | None = None, timeout_s: float = 120) -> str:
        """Standard output of one kubectl command. Raises KubectlError with its standard error when it fails."""
        ended = subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if ended.returncode:
            raise KubectlError(ended.stderr.strip() or ended.stdout.strip())
        return ended.stdout

    def apply(self, *bodies: Object, **options: str) -> str:
        """``kubectl apply -f -`` of the objects."""
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        return self.run("apply", "-f", "-", *flags, stdin=yaml.safe_dump_all(bodies))

    def get(self, kind: str, name: str) -> Object:
        """One object. Raises KubectlError when it is not there."""
        if self.as_user:
            found: Object = json.loads(self.run("get", kind, name, "-o", "json"))
            return found
        return self._read(kind, name)

    def list(self, kind: str, selector: str = "") -> Sequence[Object]:
        """The objects of a kind in the namespace."""
        if self.as_user or "," in kind:
            items: list[Object] = json.loads(self.run("get", kind, "-l", selector, "-o", "json"))["items"]
            return items
        found: list[Object] = self._read(kind, selector=selector)["items"]
        return found

    def raw(self, path: str) -> str:
        """Body of a GET of the API server."""
        return self.run("get", "--raw", path)

    def exists(self, kind: str, name: str) -> bool:
        """Whether the object is there."""
        try:
            self.get(kind, name)
        except MissingError:
            return False
        return True

    def _read(self, kind: str, name: str = "", selector: str = "") -> Object:
        try:
            return reader().get(kind, self.namespace, name, selector)
        except ReadError as error:
            raise (MissingError if error.is_missing else KubectlError)(str(error)) from error

    def wait(self, subject: str, condition: str, timeout_s: int) -> None:
        """``kubectl wait``. Raises KubectlError when the time is up."""
        self.run("wait", subject, f"--for={condition}", f"--timeout={timeout_s}s", timeout_s=timeout_s + 30)


def condition(body: Object, kind: str) -> Object | None:
    """The condition of that type in an object's status."""
    conditions: list[Object] = (body.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind), None)


def is_true(body: Object, kind: str) -> bool:
    """Whether the condition of that type is True of the object as it is now."""
    found = condition(body, kind)
    return (
        found is not None
        and found["status"] == "True"
        and found.get("observedGeneration", body["metadata"]["generation"]) == body["metadata"]["generation"]
    )
