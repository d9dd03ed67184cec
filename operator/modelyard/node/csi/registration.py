"""Registers the driver with the kubelet: a socket in its plugin registry that names the driver's own socket."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from modelyard.contract import names
from modelyard.node.proto import registration_pb2, registration_pb2_grpc

CSI_VERSION = "1.0.0"
"""The oldest that has these calls; kubelets take every 1.x for the same (pkg/volume/csi, csiversion)."""
CALLS_AT_ONCE = 8

_log = logging.getLogger("modelyard.node")


class Registration(registration_pb2_grpc.RegistrationServicer):
    """Answers the kubelet. ``is_registered`` is set once the kubelet has confirmed the registration."""

    def __init__(self, driver_socket: Path) -> None:
        self._socket = driver_socket
        self.is_registered = threading.Event()

    def GetInfo(self, request: registration_pb2.InfoRequest, context: object) -> registration_pb2.PluginInfo:  # noqa: N802 - the API's name
        """Who we are and where to call us."""
        del request, context
        return registration_pb2.PluginInfo(
            type="CSIPlugin", name=names.CSI_DRIVER, endpoint=str(self._socket), supported_versions=[CSI_VERSION]
        )

    def NotifyRegistrationStatus(  # noqa: N802 - the API's name
        self, request: registration_pb2.RegistrationStatus, context: object
    ) -> registration_pb2.RegistrationStatusResponse:
        """What the kubelet made of it."""
        del context
        if request.plugin_registered:
            _log.info("the kubelet took the driver")
            self.is_registered.set()
        else:
            _log.error("the kubelet refuses the driver: %s", request.error)
            self.is_registered.clear()
        return registration_pb2.RegistrationStatusResponse()


def served(socket: Path, add: Callable[[grpc.Server], None]) -> grpc.Server:
    """A started gRPC server on a unix socket; what a former process left there is replaced. Raises OSError."""
    socket.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    server = grpc.server(ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix=socket.stem))
    add(server)
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    socket.chmod(0o600)
    return server
