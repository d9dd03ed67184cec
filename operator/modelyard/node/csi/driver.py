"""The driver's calls, as the Container Storage Interface has them: each is one line of work and its errors' codes."""

import logging
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NoReturn, TypeVar

import grpc
from google.protobuf.wrappers_pb2 import BoolValue

from modelyard.contract import names
from modelyard.node.cache.metrics import Metrics
from modelyard.node.cache.namespace_folders import PathMissingError
from modelyard.node.csi.publish_request import publication
from modelyard.node.csi.volumes import Volumes
from modelyard.node.host.api_server import UnreachableError
from modelyard.node.host.cluster import NoNamespaceError
from modelyard.node.host.targets import RefusedError, target_of
from modelyard.node.proto import csi_pb2, csi_pb2_grpc

Answer = TypeVar("Answer")

_log = logging.getLogger("modelyard.node")


class Identity(csi_pb2_grpc.IdentityServicer):
    """Who the driver is."""

    def __init__(self, version: str) -> None:
        self._version = version

    def GetPluginInfo(self, request: csi_pb2.GetPluginInfoRequest, context: object) -> csi_pb2.GetPluginInfoResponse:  # noqa: N802 - the API's name
        """Name and version."""
        del request, context
        return csi_pb2.GetPluginInfoResponse(name=names.CSI_DRIVER, vendor_version=self._version)

    def GetPluginCapabilities(  # noqa: N802 - the API's name
        self, request: csi_pb2.GetPluginCapabilitiesRequest, context: object
    ) -> csi_pb2.GetPluginCapabilitiesResponse:
        """None: there is no controller."""
        del request, context
        return csi_pb2.GetPluginCapabilitiesResponse()

    def Probe(self, request: csi_pb2.ProbeRequest, context: object) -> csi_pb2.ProbeResponse:  # noqa: N802 - the API's name
        """Ready as soon as it answers."""
        del request, context
        return csi_pb2.ProbeResponse(ready=BoolValue(value=True))


class Node(csi_pb2_grpc.NodeServicer):
    """Volumes of this node's pods."""

    def __init__(self, node: str, volumes: Volumes, pods_folder: PurePosixPath, metrics: Metrics) -> None:
        self._node = node
        self._volumes = volumes
        self._pods_folder = pods_folder
        self._metrics = metrics

    def NodePublishVolume(  # noqa: N802 - the API's name
        self, request: csi_pb2.NodePublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodePublishVolumeResponse:
        """Mounts the namespace's part of the cache. Idempotent."""

        def publish() -> csi_pb2.NodePublishVolumeResponse:
            if request.volume_capability.HasField("block") or request.volume_capability.mount.mount_flags:
                raise RefusedError("the driver supports neither block volumes nor mount options")
            if request.secrets:
                raise RefusedError("the driver does not support secrets: remove nodePublishSecretRef")
            attributes = dict(request.volume_context)
            requested = publication(request.target_path, attributes, self._pods_folder, is_read_only=request.readonly)
            self._volumes.publish(requested)
            return csi_pb2.NodePublishVolumeResponse()

        return _answered(publish, context, self._metrics.published)

    def NodeUnpublishVolume(  # noqa: N802 - the API's name
        self, request: csi_pb2.NodeUnpublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeUnpublishVolumeResponse:
        """Unmounts it. Idempotent."""

        def unpublish() -> csi_pb2.NodeUnpublishVolumeResponse:
            self._volumes.unpublish(target_of(request.target_path, self._pods_folder))
            return csi_pb2.NodeUnpublishVolumeResponse()

        return _answered(unpublish, context, lambda _: None)

    def NodeGetCapabilities(  # noqa: N802 - the API's name
        self, request: csi_pb2.NodeGetCapabilitiesRequest, context: object
    ) -> csi_pb2.NodeGetCapabilitiesResponse:
        """None beyond publishing."""
        del request, context
        return csi_pb2.NodeGetCapabilitiesResponse()

    def NodeGetInfo(self, request: csi_pb2.NodeGetInfoRequest, context: object) -> csi_pb2.NodeGetInfoResponse:  # noqa: N802 - the API's name
        """The node's name."""
        del request, context
        return csi_pb2.NodeGetInfoResponse(node_id=self._node)


_CODES: dict[type[Exception], grpc.StatusCode] = {
    RefusedError: grpc.StatusCode.INVALID_ARGUMENT,
    NoNamespaceError: grpc.StatusCode.NOT_FOUND,
    PathMissingError: grpc.StatusCode.FAILED_PRECONDITION,
    UnreachableError: grpc.StatusCode.UNAVAILABLE,
    OSError: grpc.StatusCode.INTERNAL,
}


def _answered(work: Callable[[], Answer], context: grpc.ServicerContext, report: Callable[[str], None]) -> Answer:
    """The work's answer, or its error as the pod's event will show it; ``report`` gets the status either way."""
    try:
        answer = work()
    except tuple(_CODES) as error:
        code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
        _log.warning("%s: %s", code.name, error)
        report(code.name)
        _abort(context, code, str(error))
    report("OK")
    return answer


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    context.abort(code, message)
    raise AssertionError("abort raises")
