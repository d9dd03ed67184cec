"""Kubernetes, a CoreDNS with six plugins and the pause program, built from Go modules alone (go/ pins them by hash).

`go install k8s.io/kubernetes/...@version` is refused, as its go.mod replaces modules; as a dependency of go/go.mod,
which replaces them by their published versions, it builds. 1.34 is the newest whose kubelet takes cgroup v1 without an
override. CoreDNS 1.12.4 shares its Kubernetes client with 1.34; kubeadm's default, 1.12.1, takes three minutes more.
"""

import os
from pathlib import Path

from e2e.cluster import tools
from e2e.cluster.steps import Making

VERSION = "v1.34.4"
SOURCES = Path(__file__).parent / "go"
COMMANDS = (
    "kubeadm",
    "kubelet",
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
)


def inputs() -> tuple[Path | str, ...]:
    """What the binaries depend on."""
    return (SOURCES, _linker_flags(), *COMMANDS)


def _linker_flags() -> str:
    """The version stamped into the binaries: without it kubeadm refuses its own version."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    stamps = {
        "gitVersion": VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "none",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(
        ["-s -w", *(f"-X {package}.{name}={value}" for package in packages for name, value in stamps.items())]
    )


def build(making: Making) -> None:
    """Static binaries into the step's folder."""
    programs = [*(f"k8s.io/kubernetes/cmd/{command}" for command in COMMANDS), "./coredns", "./pause"]
    making.commands.run(
        *(tools.go(making), "build", "-p", str(os.cpu_count() or 1), "-trimpath", "-buildvcs=false", "-mod=readonly"),
        *("-ldflags", _linker_flags(), "-o", f"{making.folder}/"),
        *programs,
        cwd=SOURCES,
        environment={"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
    )
