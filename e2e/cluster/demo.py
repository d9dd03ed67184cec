"""What `make demo` shows: one file applied, its conditions as they change, a question and the model's answer."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from e2e.cluster import storage
from e2e.cluster.images import ROOT, SPOT_WORKER
from e2e.cluster.kind_cluster import KUBECONFIG
from e2e.cluster.steps import CannotMakeError, programs_folder

EXAMPLE = ROOT / "examples/smollm.yaml"
NAMESPACE = "demo"
SERVICE = "smollm"
KEYS = "s3-read"
QUESTION = "What is the capital of France?"
READY_TIMEOUT_S = 900


def run() -> None:
    """Apply the example, show its conditions until Ready, send a question, print its answer and the next commands."""
    print(f"\n$ kubectl --namespace={NAMESPACE} apply -f {EXAMPLE.relative_to(ROOT)}")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    _kubectl("apply", "--filename=-", stdin=json.dumps(namespace))
    _kubectl("apply", "--filename=-", stdin=json.dumps(_copied_secret()))
    print(_kubectl("apply", f"--filename={EXAMPLE}"), end="")
    for line in _conditions_until_ready(time.monotonic() + READY_TIMEOUT_S):
        print(f"  {line}", flush=True)
    answer = _chat(QUESTION)
    print(f"\n> {QUESTION}\n{answer}\n\n$ kubectl --namespace={NAMESPACE} get infsvc\n{_kubectl('get', 'infsvc')}")
    print("\n  ".join(["Type next:", *next_commands(os.environ["PATH"])]))


def next_commands(path: str) -> list[str]:
    """What to type next, for a person whose PATH this is but for the folder of our own programs."""
    own = str(programs_folder())
    theirs = os.pathsep.join(folder for folder in path.split(os.pathsep) if folder != own)
    return [
        *([] if shutil.which("kubectl", path=theirs) else [f'export PATH="$PATH:{own}"  # where kubectl is']),
        f"kubectl --namespace={NAMESPACE} describe infsvc/{SERVICE}",
        f"kubectl --namespace={NAMESPACE} get pods,services --selector=serving.modelyard.dev/service={SERVICE}",
        f"kubectl --namespace={NAMESPACE} scale infsvc/{SERVICE} --replicas=0",
    ]


def _copied_secret() -> dict[str, Any]:
    """The key that may read the bucket, for the demo's namespace."""
    data = json.loads(_kubectl("get", f"secret/{KEYS}", f"--namespace={storage.NAMESPACE}", "--output=json"))["data"]
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS}, "data": data}


def changed_conditions(before: dict[str, Any], conditions: list[dict[str, Any]]) -> list[str]:
    """Lines for the conditions that are new or differ from `before`, which is brought up to date.

    Conditions with the same text share a line.
    """
    changed: dict[str, list[str]] = {}
    for condition in conditions:
        text = f"{condition['reason']}: {condition['message']}"
        if before.get(condition["type"]) != (condition["status"], text):
            before[condition["type"]] = (condition["status"], text)
            changed.setdefault(text, []).append(f"{condition['type']}={condition['status']}")
    return [f"{' '.join(types)}  {text}" for text, types in changed.items()]


def _conditions_until_ready(deadline: float) -> Iterator[str]:
    """Lines for the service's conditions as they change. Raises CannotMakeError when the time is up."""
    shown: dict[str, Any] = {}
    while time.monotonic() < deadline:
        service = json.loads(_kubectl("get", f"infsvc/{SERVICE}", "--output=json"))
        conditions = service.get("status", {}).get("conditions", [])
        yield from changed_conditions(shown, conditions)
        if any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions):
            return
        time.sleep(1)
    raise CannotMakeError(
        f"{SERVICE} is not Ready after {READY_TIMEOUT_S} s. "
        f"`kubectl --namespace={NAMESPACE} describe infsvc/{SERVICE}` shows why."
    )


def _chat(question: str) -> str:
    """The model's answer to a chat request sent to the Service's address from a node."""
    address = _kubectl("get", f"service/{SERVICE}", "--output=jsonpath={.spec.clusterIP}")
    body = {"model": SERVICE, "messages": [{"role": "user", "content": question}], "max_tokens": 60, "temperature": 0}
    curl = ("curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "120", "--json", json.dumps(body))
    answer = _output("docker", "exec", SPOT_WORKER, *curl, f"http://{address}/v1/chat/completions")
    return str(json.loads(answer)["choices"][0]["message"]["content"]).strip()


def _kubectl(*arguments: str, stdin: str | None = None) -> str:
    program = programs_folder() / "kubectl"
    return _output(program, f"--kubeconfig={KUBECONFIG}", f"--namespace={NAMESPACE}", *arguments, stdin=stdin)


def _output(*command: str | Path, stdin: str | None = None) -> str:
    ended = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if ended.returncode:
        print(ended.stdout, end="", file=sys.stderr)
        raise CannotMakeError(f"`{' '.join(map(str, command))}` failed: {ended.stderr.strip()}")
    return ended.stdout
