"""The device plugin of the local cluster, spoken to over its socket as the kubelet speaks to it."""

import queue
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from grpc_tools import protoc

IMAGE = Path(__file__).parents[2] / "e2e/images/gpu-plugin"
TIMEOUT_S = 20
HEALTHY = {"gpu-0": "Healthy", "gpu-1": "Healthy", "gpu-2": "Healthy", "gpu-3": "Healthy"}


@pytest.fixture(scope="module")
def plugin_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """`plugin.py` as the image has it: with the API's stubs generated beside it."""
    stubs = tmp_path_factory.mktemp("stubs")
    arguments = ["", f"--proto_path={IMAGE}", f"--python_out={stubs}", f"--grpc_python_out={stubs}"]
    assert protoc.main([*arguments, "deviceplugin.proto"]) == 0
    sys.path[:0] = [str(stubs), str(IMAGE)]
    import plugin  # noqa: PLC0415  (there is nothing to import until the stubs are written)

    yield plugin
    del sys.path[:2]
    for name in ("plugin", "devices", "deviceplugin_pb2", "deviceplugin_pb2_grpc"):
        del sys.modules[name]


@dataclass
class Kubelet:
    """The kubelet's side: its socket's folder, and the registrations that it received."""

    folder: Path
    modules: ModuleType
    registrations: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)

    def Register(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (the API's name)
        del context
        self.registrations.put(request)
        return self.modules.messages.Empty()

    @contextmanager
    def running(self) -> Iterator[None]:
        """As the kubelet starts: first every socket in the folder goes, then its own appears."""
        for stale in self.folder.iterdir():
            stale.unlink()
        server = grpc.server(ThreadPoolExecutor(max_workers=2))
        self.modules.services.add_RegistrationServicer_to_server(self, server)
        server.add_insecure_port(f"unix://{self.folder}/kubelet.sock")
        server.start()
        try:
            yield
        finally:
            server.stop(grace=None).wait()

    @contextmanager
    def plugin(self) -> Iterator[Any]:
        """A client of the plugin that registers next."""
        endpoint = self.registrations.get(timeout=TIMEOUT_S).endpoint
        with grpc.insecure_channel(f"unix://{self.folder}/{endpoint}") as channel:
            yield self.modules.services.DevicePluginStub(channel)

    def devices(self, client: Any) -> Iterator[dict[str, str]]:
        """Each list of devices that the plugin sends: health by name."""
        for answer in client.ListAndWatch(self.modules.messages.Empty(), timeout=TIMEOUT_S):
            yield {device.ID: device.health for device in answer.devices}


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    folder = tmp_path / "unhealthy"
    folder.mkdir()
    return folder


@pytest.fixture
def kubelet(plugin_module: ModuleType, broken: Path) -> Iterator[Kubelet]:
    """A kubelet that is not running yet, and the plugin waiting for it."""
    folder = Path(tempfile.mkdtemp(prefix="kubelet-"))  # a socket's path has room for 107 characters
    stopping = threading.Event()
    plugin = threading.Thread(target=plugin_module.Plugin(folder, broken).run, args=[stopping])
    plugin.start()
    yield Kubelet(folder, plugin_module)
    stopping.set()
    plugin.join(TIMEOUT_S)
    assert not plugin.is_alive()
    shutil.rmtree(folder)


def test_the_plugin_registers_four_gpus_once_the_kubelet_is_there(kubelet: Kubelet) -> None:
    with kubelet.running():
        request = kubelet.registrations.get(timeout=TIMEOUT_S)
        assert (request.version, request.resource_name) == ("v1beta1", "nvidia.com/gpu")
        kubelet.registrations.put(request)
        with kubelet.plugin() as client:
            assert next(kubelet.devices(client)) == HEALTHY


def test_a_gpu_declared_broken_is_reported_unhealthy_and_healthy_again_when_repaired(
    kubelet: Kubelet, broken: Path
) -> None:
    with kubelet.running(), kubelet.plugin() as client:
        devices = kubelet.devices(client)
        assert next(devices) == HEALTHY
        (broken / "gpu-2").touch()
        assert next(devices) == HEALTHY | {"gpu-2": "Unhealthy"}
        (broken / "gpu-2").unlink()
        assert next(devices) == HEALTHY


def test_a_container_learns_its_gpus_from_its_environment(kubelet: Kubelet) -> None:
    messages = kubelet.modules.messages
    devices = messages.ContainerAllocateRequest(devices_ids=["gpu-3", "gpu-1"])
    with kubelet.running(), kubelet.plugin() as client:
        answer = client.Allocate(messages.AllocateRequest(container_requests=[devices]), timeout=TIMEOUT_S)
    assert [dict(container.envs) for container in answer.container_responses] == [
        {"NVIDIA_VISIBLE_DEVICES": "gpu-1,gpu-3"}
    ]


def test_a_gpu_that_is_not_there_is_refused_by_name(kubelet: Kubelet) -> None:
    messages = kubelet.modules.messages
    devices = messages.ContainerAllocateRequest(devices_ids=["gpu-9"])
    with (
        kubelet.running(),
        kubelet.plugin() as client,
        pytest.raises(grpc.RpcError, match="unknown devices: gpu-9"),
    ):
        client.Allocate(messages.AllocateRequest(container_requests=[devices]), timeout=TIMEOUT_S)


def test_the_plugin_registers_again_with_a_kubelet_that_was_restarted(kubelet: Kubelet) -> None:
    with kubelet.running(), kubelet.plugin() as client:
        assert next(kubelet.devices(client)) == HEALTHY
    with kubelet.running(), kubelet.plugin() as client:
        assert next(kubelet.devices(client)) == HEALTHY
