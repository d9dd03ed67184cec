"""A second installation of the operator, for one namespace, set up by a copy of deploy/overlays/namespaced."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from e2e.cluster.images import ROOT, reference
from e2e.cluster.operator_installation import settings
from e2e.support.kubectl import Kubectl

OVERLAY = ROOT / "deploy/overlays/namespaced"
BASE = ROOT / "deploy/base"
HOME = "modelyard-side"
DEPLOYMENT = "deployment/modelyard-side"
CLAIM = "modelyard-claim"
READY_S = 120


@dataclass(frozen=True)
class SideInstallation:
    """The installation, whose own namespace is HOME."""

    home: Kubectl

    def log(self) -> str:
        """What its replicas log."""
        return self.home.run("logs", "--selector=app.kubernetes.io/component=operator", "--tail=-1")

    def stop(self) -> None:
        """Let none of its replicas run; its claims stay."""
        self.home.run("scale", DEPLOYMENT, "--replicas=0")
        self.home.run("rollout", "status", DEPLOYMENT, f"--timeout={READY_S}s", timeout_s=READY_S + 30)


@contextmanager
def side_installation(cluster: Kubectl, namespace: str) -> Iterator[SideInstallation]:
    """Installed for ``namespace``, ready; afterwards it is gone with its claim."""
    home, its_own = replace(cluster, namespace=HOME), replace(cluster, namespace=namespace)
    of_several = replace(cluster, namespace="")
    with TemporaryDirectory() as folder:
        overlay = _copied(Path(folder) / "side", namespace)
        of_several.run("apply", "--kustomize", str(overlay))
        try:
            home.run("rollout", "status", DEPLOYMENT, f"--timeout={READY_S}s", timeout_s=READY_S + 30)
            yield SideInstallation(home)
        finally:
            of_several.run("delete", "--kustomize", str(overlay), "--ignore-not-found", "--wait=false")
            its_own.run("delete", "lease", CLAIM, "--ignore-not-found")


def _copied(folder: Path, namespace: str) -> Path:
    shutil.copytree(OVERLAY, folder)
    operator, _, tag = reference("operator").rpartition(":")
    changes = {
        "kustomization.yaml": [("nameSuffix: -team-a", "nameSuffix: -side")],
        "operator/kustomization.yaml": [
            ("modelyard-team-a", HOME),
            ("../../../base", os.path.relpath(BASE, (folder / "operator").resolve())),
            ("registry.example.com/modelyard", operator),
            ("newTag: 0.1.0", f"newTag: {json.dumps(tag)}"),
        ],
        "team-a/kustomization.yaml": [("namespace: team-a", f"namespace: {namespace}")],
        "team-a/rights.yaml": [("modelyard-team-a", HOME)],
    }
    for name, replacements in changes.items():
        text = (folder / name).read_text()
        for old, new in replacements:
            assert old in text, f"{name} of the overlay no longer has {old}"
            text = text.replace(old, new)
        (folder / name).write_text(text)
    chosen = settings(*map(reference, ("fetch", "vllm-cpu", "triton"))) | {
        "namespaces": [namespace],
        "claim_settle_s": 5,
    }
    (folder / "operator/settings.yaml").write_text(json.dumps(chosen))
    return folder
