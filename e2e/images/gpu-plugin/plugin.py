"""A device plugin for GPUs that do not exist: allocation, limits and restarts behave as with the real one.

A GPU becomes unhealthy while a file of its name lies in the plugin's folder of broken GPUs:

    kubectl -n kube-system exec POD -- touch /run/unhealthy/gpu-2

The kubelet removes every plugin's socket when it starts, and makes its own anew: the plugin then serves and registers
again.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import deviceplugin_pb2 as messages
import deviceplugin_pb2_grpc as services
import grpc
from devices import container_environment, device_ids, health_by_id, identity, unhealthy_ids

PLUGINS = Path("/var/lib/kubelet/device-plugins")
UNHEALTHY = Path("/run/unhealthy")
RESOURCE = "nvidia.com/gpu"
COUNT = 4
API_VERSION = "v1beta1"
KUBELET_SOCKET = "kubelet.sock"
SOCKET = "modelyard-gpu.sock"
POLL_S = 0.5
REGISTER_TIMEOUT_S = 5.0

log = logging.getLogger("gpu-plugin")


class Devices(services.DevicePluginServicer):  # type: ignore[misc]  # generated while the image is built
    """Answers the kubelet. One `ListAndWatch` stays open per kubelet and reports every change of health."""

    def __init__(self, count: int, unhealthy: Path) -> None:
        self._ids = device_ids(count)
        self._folder = unhealthy
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the open streams."""
        self._stopping.set()

    def GetDevicePluginOptions(  # noqa: N802  (the API's name)
        self, request: messages.Empty, context: grpc.ServicerContext
    ) -> messages.DevicePluginOptions:
        """Nothing optional is offered."""
        del request, context
        return messages.DevicePluginOptions()

    def ListAndWatch(  # noqa: N802  (the API's name)
        self, request: messages.Empty, context: grpc.ServicerContext
    ) -> Iterator[messages.ListAndWatchResponse]:
        """All devices at once, then again whenever one's health changes, until the kubelet goes."""
        del request
        reported: dict[str, str] | None = None
        while context.is_active() and not self._stopping.is_set():
            health = health_by_id(self._ids, unhealthy_ids(self._folder))
            if health != reported:
                reported = health
                log.info("devices: %s", health)
                devices = [messages.Device(ID=id_, health=state) for id_, state in health.items()]
                yield messages.ListAndWatchResponse(devices=devices)
            self._stopping.wait(POLL_S)

    def Allocate(  # noqa: N802  (the API's name)
        self, request: messages.AllocateRequest, context: grpc.ServicerContext
    ) -> messages.AllocateResponse:
        """Each container learns its GPUs from its environment; an unknown GPU is refused."""
        answers = []
        for container in request.container_requests:
            unknown = set(container.devices_ids) - set(self._ids)
            if unknown:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unknown devices: {', '.join(sorted(unknown))}")
            environment = container_environment(container.devices_ids)
            answers.append(messages.ContainerAllocateResponse(envs=environment))
        return messages.AllocateResponse(container_responses=answers)


class Plugin:
    """Serves the devices beside the kubelet's socket and keeps them registered."""

    def __init__(self, plugins: Path, unhealthy: Path, count: int = COUNT) -> None:
        self._kubelet = plugins / KUBELET_SOCKET
        self._socket = plugins / SOCKET
        self._unhealthy = unhealthy
        self._count = count

    def run(self, stopping: threading.Event) -> None:
        """Serve until a signal to stop; serve anew whenever the kubelet was started anew."""
        while not stopping.is_set():
            kubelet = identity(self._kubelet)
            if kubelet is not None:
                with self._serving():
                    registered = self._register()
                    while registered and self._is_known_to(kubelet) and not stopping.is_set():
                        stopping.wait(POLL_S)
            stopping.wait(POLL_S)

    def _is_known_to(self, kubelet: tuple[int, int]) -> bool:
        return identity(self._kubelet) == kubelet and self._socket.exists()

    @contextmanager
    def _serving(self) -> Iterator[None]:
        self._socket.unlink(missing_ok=True)
        devices = Devices(self._count, self._unhealthy)
        server = grpc.server(ThreadPoolExecutor(max_workers=8))
        services.add_DevicePluginServicer_to_server(devices, server)
        server.add_insecure_port(f"unix://{self._socket}")
        server.start()
        try:
            yield
        finally:
            devices.stop()
            server.stop(grace=None).wait()

    def _register(self) -> bool:
        request = messages.RegisterRequest(version=API_VERSION, endpoint=SOCKET, resource_name=RESOURCE)
        with grpc.insecure_channel(f"unix://{self._kubelet}") as channel:
            try:
                services.RegistrationStub(channel).Register(request, timeout=REGISTER_TIMEOUT_S)
            except grpc.RpcError as error:
                log.warning("the kubelet does not answer yet: %s", error)
                return False
        log.info("registered %d x %s", self._count, RESOURCE)
        return True


def main() -> None:
    """Run as PID 1 of the DaemonSet's container."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.Formatter.converter = time.gmtime
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    Plugin(PLUGINS, UNHEALTHY).run(stopping)


if __name__ == "__main__":
    main()
