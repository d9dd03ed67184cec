"""KEDA and metrics-server in the local cluster: what is left of KEDA's source, and what their manifests become."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from e2e.cluster.autoscalers import KEDA, SERVER, Installed, overlay
from e2e.cluster.go_modules import Module, copy_source
from e2e.cluster.keda import BUILDER, CLOUD_FILES, CLOUDS, TRIGGERS, make_smaller, without_triggers
from e2e.cluster.manifests import KEY
from e2e.cluster.steps import CannotMakeError, Making

CASES = "".join(f'\tcase "{kind}":\n\t\treturn scalers.New(config)\n' for kind in (*TRIGGERS, "kafka"))
FUNCTION = (
    f"switch triggerType {{\n{CASES}" + '\tcase "redis", "redis-cluster":\n\t\treturn a()\n\tdefault:\n\t\treturn nil\n'
)


def test_of_kedas_triggers_those_that_tests_use_are_left() -> None:
    left = without_triggers(FUNCTION)

    assert all(f'case "{kind}":' in left for kind in TRIGGERS)
    assert "kafka" not in left
    assert "redis" not in left
    assert left.endswith("\tdefault:\n\t\treturn nil\n")


def test_a_keda_without_such_a_trigger_is_refused() -> None:
    with pytest.raises(CannotMakeError, match="prometheus"):
        without_triggers(FUNCTION.replace('"prometheus"', '"prometheus-2"'))


def test_the_clouds_code_gives_way_to_what_stands_for_it(tmp_path: Path) -> None:
    source, left_out = tmp_path / "source", tmp_path / "left-out"
    files = [*CLOUD_FILES, *(f"pkg/scalers/{cloud}/{cloud}.go" for cloud in CLOUDS), BUILDER, "go.mod", "go.sum"]
    files += ["pkg/scalers/prometheus_scaler.go", "pkg/scalers/kafka_scaler.go", "pkg/scalers/scaler_test.go"]
    for file in files:
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_text(FUNCTION)
    (left_out / "pkg/scalers/aws").mkdir(parents=True)
    (left_out / "pkg/scalers/aws/left_out.go").write_text("package aws\n")

    make_smaller(source, left_out)

    found = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert found == {BUILDER, "go.mod", "pkg/scalers/prometheus_scaler.go", "pkg/scalers/aws/left_out.go"}


def _making(folder: Path, **results: object) -> Making:
    return cast("Making", SimpleNamespace(key="0123456789abcdef", folder=folder, **results))


@pytest.mark.parametrize("installed", [KEDA, SERVER], ids=lambda installed: installed.name)
def test_they_run_on_the_control_plane_from_our_images(installed: Installed, tmp_path: Path) -> None:
    results = {f"image-{name}": SimpleNamespace(key="fedcba9876543210") for name in installed.images}

    made = overlay(_making(tmp_path, results=results), installed, "there")

    assert made["resources"] == ["there"]
    assert {image["newTag"] for image in made["images"]} == {"fedcba9876543210"}
    patches: list[Any] = [json.loads(patch["patch"]) for patch in made["patches"]]
    (placed,) = [patch for patch in patches if isinstance(patch, dict) and "$patch" not in patch]
    assert placed["metadata"]["annotations"][KEY] == "0123456789abcdef"
    assert placed["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "modelyard-control-plane"}


def test_a_module_with_other_content_than_pinned_is_refused(tmp_path: Path) -> None:
    reply = json.dumps({"Sum": "h1:other", "Dir": str(tmp_path)})
    commands = SimpleNamespace(output=lambda *_: reply)
    making = _making(tmp_path, commands=commands, results={"go": SimpleNamespace(folder=tmp_path)})

    with pytest.raises(CannotMakeError, match="h1:other, not h1:pinned"):
        copy_source(making, Module("example.com/module", "v1.0.0", "h1:pinned"), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
