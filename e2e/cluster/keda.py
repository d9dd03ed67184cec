"""KEDA, less what no test uses: its source is made smaller before it is built.

KEDA scales by more than seventy kinds of triggers, and its secrets may lie in any cloud: 4,000 packages of SDKs, which
take half an hour to compile. The operator and the metrics server that are left are KEDA's own, with the triggers below;
where its code calls a cloud's, e2e/images/autoscalers/left-out answers that there is none.
"""

import re
import shutil
from pathlib import Path

from e2e.cluster.go_modules import Module, copy_source
from e2e.cluster.images import ROOT
from e2e.cluster.steps import CannotMakeError, Making

MODULE = Module("github.com/kedacore/keda/v2", "v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=")
VERSION = MODULE.version.removeprefix("v")
LEFT_OUT = ROOT / "e2e/images/autoscalers/left-out"
TRIGGERS = {
    "cpu": "cpu_memory_scaler.go",
    "cron": "cron_scaler.go",
    "memory": "cpu_memory_scaler.go",
    "metrics-api": "metrics_api_scaler.go",
    "prometheus": "prometheus_scaler.go",
}
"""The kinds of triggers that are kept, and the file of each in pkg/scalers."""

CLOUDS = ("aws", "azure", "gcp", "kafka", "liiklus", "openstack", "splunk", "sumologic")
"""Folders of pkg/scalers that other triggers need; the first three are called from elsewhere, too."""

CLOUD_FILES = (
    "pkg/eventemitter/azure_event_grid_topic_handler.go",
    "pkg/scaling/resolver/aws_secretmanager_handler.go",
    "pkg/scaling/resolver/azure_keyvault_handler.go",
    "pkg/scaling/resolver/gcp_secretmanager_handler.go",
    "pkg/scaling/resolver/hashicorpvault_handler.go",
    "pkg/util/ginkgo_reporter.go",
)
BUILDER = "pkg/scaling/scalers_builder.go"
CASE = re.compile(r'^\tcase ((?:"[^"]*"(?:, )?)+):\n((?:\t\t.*\n)+)', re.MULTILINE)


def fetch_source(making: Making) -> None:
    """The smaller source into the step's folder `keda`; its manifests are in `config`."""
    folder = making.folder / "keda"
    copy_source(making, MODULE, folder)
    make_smaller(folder, LEFT_OUT)


def make_smaller(source: Path, left_out: Path) -> None:
    """Remove the triggers that are not kept, and put the files of ``left_out`` in the place of the clouds' code.

    Raises CannotMakeError for a source without the triggers that are kept, as another version may be.
    """
    for test in source.rglob("*_test.go"):
        test.unlink()
    for scaler in source.glob("pkg/scalers/*_scaler.go"):
        if scaler.name not in TRIGGERS.values():
            scaler.unlink()
    for cloud in CLOUDS:
        shutil.rmtree(source / "pkg/scalers" / cloud)
    for file in CLOUD_FILES:
        (source / file).unlink()
    shutil.copytree(left_out, source, dirs_exist_ok=True)
    builder = source / BUILDER
    builder.write_text(without_triggers(builder.read_text()))
    # What it needs is pinned by the module that builds it.
    (source / "go.mod").write_text(f"module {MODULE.path}\n\ngo 1.26.0\n")
    (source / "go.sum").unlink()


def without_triggers(builder: str) -> str:
    """The function that makes a trigger by its kind, with the kinds that are kept.

    Raises CannotMakeError unless it had them all.
    """
    found = {kind for case in CASE.finditer(builder) for kind in _kinds(case)}
    if missing := TRIGGERS.keys() - found:
        raise CannotMakeError(f"KEDA {MODULE.version} has no trigger {', '.join(sorted(missing))} in {BUILDER}.")
    return CASE.sub(lambda case: case[0] if TRIGGERS.keys() & _kinds(case) else "", builder)


def _kinds(case: re.Match[str]) -> set[str]:
    return set(re.findall(r'"([^"]*)"', case[1]))
