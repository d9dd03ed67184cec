"""The pure part of the local cluster's device plugin."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[2] / "e2e/images/gpu-plugin/devices.py"


@pytest.fixture(scope="module")
def devices() -> ModuleType:
    spec = spec_from_file_location("devices", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_gpus_are_healthy_unless_declared_broken(devices: ModuleType) -> None:
    health = devices.health_by_id(devices.device_ids(3), frozenset({"gpu-1"}))
    assert health == {"gpu-0": "Healthy", "gpu-1": "Unhealthy", "gpu-2": "Healthy"}


def test_a_broken_gpu_that_the_node_lacks_changes_nothing(devices: ModuleType) -> None:
    assert devices.health_by_id(devices.device_ids(1), frozenset({"gpu-7"})) == {"gpu-0": "Healthy"}


def test_broken_gpus_are_the_names_of_the_files_in_the_folder(devices: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "gpu-0").touch()
    assert devices.unhealthy_ids(tmp_path) == {"gpu-0"}


def test_without_a_folder_of_broken_gpus_none_is_broken(devices: ModuleType, tmp_path: Path) -> None:
    assert devices.unhealthy_ids(tmp_path / "none") == frozenset()


def test_a_socket_made_anew_has_another_identity(devices: ModuleType, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.touch()
    second.touch()
    assert devices.identity(first) == devices.identity(first)
    assert devices.identity(first) != devices.identity(second)


def test_a_socket_that_is_gone_has_no_identity(devices: ModuleType, tmp_path: Path) -> None:
    assert devices.identity(tmp_path / "kubelet.sock") is None
