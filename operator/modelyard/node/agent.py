"""The agent put together: what runs, in which order it starts, and how often each duty comes."""

import logging
import threading
import time
from collections.abc import Callable
from http.server import HTTPServer
from pathlib import PurePosixPath

import grpc

import modelyard
from modelyard.contract import names, page_server
from modelyard.contract.cache_page import PATH
from modelyard.node.cache.grant_server import SpaceServer
from modelyard.node.cache.metrics import Metrics
from modelyard.node.cache.namespace_folders import Parts, PathMissingError
from modelyard.node.cache.node_cache import NodeCache
from modelyard.node.cache.overview import Overview, Recent, page
from modelyard.node.cache.scrubber import ByteCheck
from modelyard.node.configuration import Configuration
from modelyard.node.csi.driver import Identity, Node
from modelyard.node.csi.registration import Registration, served
from modelyard.node.csi.volumes import Volumes
from modelyard.node.host.api_server import Api, UnreachableError
from modelyard.node.host.cluster import Namespaces, OwnNode
from modelyard.node.host.mounts import Published
from modelyard.node.housekeeping import Housekeeping
from modelyard.node.proto import csi_pb2_grpc, registration_pb2_grpc

TRIM_EVERY_S = 30.0
TIDY_EVERY_S = 180.0
CHECK_EVERY_S = 600.0
TAINT_EVERY_S = 2.0
OVERVIEW_AGE_S = 2.0
"""How old an overview may be: frequent requests must not block the cache."""

CONNECTIONS = 32
"""Clients of the page at once: probes, a scraper, the operator, and any other that finds the port."""

_log = logging.getLogger("modelyard.node")


class Agent:
    """One node's agent. ``start`` first registers the driver: pods of a fresh node wait for that."""

    def __init__(self, configuration: Configuration, api: Api) -> None:
        self._configuration = configuration
        self._stopping = threading.Event()
        self._is_untainted = threading.Event()
        namespaces = Namespaces(api)
        self._parts = Parts(configuration.cache)
        self._node = OwnNode(api, configuration.node)
        self._volumes = Volumes(self._parts, configuration.pods_folder, namespaces, self._prepare, self._unpublished)
        self._metrics = Metrics()
        self._cache = NodeCache(self._parts, self._volumes.seen, configuration.limits, time.time, self._metrics)
        self._space = SpaceServer(self._cache, self._parts)
        plugins = configuration.kubelet_folder
        self._driver_socket = plugins / "plugins" / names.CSI_DRIVER / "csi.sock"
        self._registry_socket = plugins / "plugins_registry" / f"{names.CSI_DRIVER}-reg.sock"
        self._registration = Registration(self._driver_socket)
        self._housekeeping = Housekeeping(
            cache=self._cache,
            parts=self._parts,
            volumes=self._volumes,
            namespaces=namespaces,
            node=self._node,
            metrics=self._metrics,
            forget=self._space.forget,
            leftover_age_s=configuration.leftover_age_s,
        )
        self._byte_check = ByteCheck(
            parts=self._parts,
            cache=self._cache,
            metrics=self._metrics,
            interval_s=configuration.check_interval_s,
            pause=self._stopping.wait,
            now_s=time.time,
        )
        self._recent = Recent(self._overview, OVERVIEW_AGE_S, time.monotonic)
        self._metrics.watch_cache(self._recent.get)
        self._metrics.watch_registration(self._registration.is_registered.is_set)
        self._servers: list[grpc.Server] = []
        self._duties: list[threading.Thread] = []
        self._http: HTTPServer | None = None

    def start(self) -> None:
        """Registers, then takes up every duty. Raises OSError when a socket or the port cannot be had."""
        self._servers = [
            served(self._driver_socket, self._add_driver),
            served(
                self._registry_socket,
                lambda server: registration_pb2_grpc.add_RegistrationServicer_to_server(self._registration, server),
            ),
        ]
        pages = {
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/metrics": self._metrics.page,
            PATH: self._cache_page,
        }
        self._http = page_server.serve(self._configuration.port, pages, connections=CONNECTIONS)
        self._every(TAINT_EVERY_S, self._remove_taint_once_registered)
        self._every(TRIM_EVERY_S, self._serve_known)
        self._every(TIDY_EVERY_S, self._housekeeping.tidy)
        self._every(TRIM_EVERY_S, self._cache.trim)
        self._every(CHECK_EVERY_S, self._byte_check.run)

    def stop(self) -> None:
        """Ends every duty. The volumes stay as they are."""
        self._stopping.set()
        for duty in self._duties:
            duty.join()
        for server in self._servers:
            server.stop(grace=1).wait()
        if self._http:
            self._http.shutdown()
            self._http.server_close()
        self._space.stop()

    def _add_driver(self, server: grpc.Server) -> None:
        pods_folder = PurePosixPath(self._configuration.pods_folder)
        node = Node(self._configuration.node, self._volumes, pods_folder, self._metrics)
        csi_pb2_grpc.add_IdentityServicer_to_server(Identity(modelyard.__version__), server)
        csi_pb2_grpc.add_NodeServicer_to_server(node, server)

    def _prepare(self, name: str, uid: str) -> None:
        self._cache.prepare(name, uid)
        self._space.serve(uid)

    def _unpublished(self, published: Published) -> None:
        self._cache.unpublished(published)

    def _serve_known(self) -> None:
        """Serves the pods of a former process, which request space from this one."""
        for uid in self._parts.names():
            self._space.serve(uid)

    def _remove_taint_once_registered(self) -> None:
        if self._registration.is_registered.is_set() and not self._is_untainted.is_set():
            self._node.remove_starting_taint()
            self._is_untainted.set()

    def _every(self, seconds: float, duty: Callable[[], object]) -> None:
        """Does the duty now and again and again on a thread of its own; one that fails is tried again as usual."""

        def work() -> None:
            last_error = ""
            while True:
                try:
                    duty()
                    last_error = ""
                except (PathMissingError, UnreachableError) as error:
                    if str(error) != last_error:  # a lasting error is logged once
                        _log.warning("%s", error)
                    last_error = str(error)
                except Exception:  # noqa: BLE001 - whatever it is, the next round comes
                    _log.exception("a duty failed")
                if self._stopping.wait(seconds):
                    return

        thread = threading.Thread(target=work, name=getattr(duty, "__name__", "duty"), daemon=True)
        thread.start()
        self._duties.append(thread)

    def _overview(self) -> Overview | None:
        try:
            return self._cache.overview()
        except PathMissingError:
            return None

    def _cache_page(self) -> page_server.Page:
        return page_server.as_json(page(self._configuration.node, self._recent.get()).as_json())

    def _readiness(self) -> page_server.Page:
        """Ready once the kubelet took the driver: a rollout stops at an agent that it does not take."""
        is_ready = self._registration.is_registered.is_set()
        return (
            page_server.text(200, "ok")
            if is_ready
            else page_server.text(503, "the kubelet did not take the driver yet")
        )

    def _health(self) -> page_server.Page:
        """Well, as long as the kubelet finds the sockets: it removes what it finds stale in its folder of plugins."""
        gone = [socket for socket in (self._driver_socket, self._registry_socket) if not socket.is_socket()]
        return page_server.text(503, f"{gone[0]} is gone") if gone else page_server.text(200, "ok")
