"""The pure part of the local cluster's device plugin."""

from pathlib import Path

from tests.support.image_module import image_module

devices = image_module("gpu-plugin", "devices")


def test_gpus_are_healthy_unless_declared_broken() -> None:
    health = devices.health_by_id(devices.device_ids(3), frozenset({"gpu-1"}))
    assert health == {"gpu-0": "Healthy", "gpu-1": "Unhealthy", "gpu-2": "Healthy"}


def test_a_broken_gpu_that_the_node_lacks_changes_nothing() -> None:
    assert devices.health_by_id(devices.device_ids(1), frozenset({"gpu-7"})) == {"gpu-0": "Healthy"}


def test_broken_gpus_are_the_names_of_the_files_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "gpu-0").touch()
    assert devices.unhealthy_ids(tmp_path) == {"gpu-0"}


def test_without_a_folder_of_broken_gpus_none_is_broken(tmp_path: Path) -> None:
    assert devices.unhealthy_ids(tmp_path / "none") == frozenset()


def test_a_socket_made_anew_has_another_identity(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.touch()
    second.touch()
    assert devices.identity(first) == devices.identity(first)
    assert devices.identity(first) != devices.identity(second)


def test_a_socket_that_is_gone_has_no_identity(tmp_path: Path) -> None:
    assert devices.identity(tmp_path / "kubelet.sock") is None
