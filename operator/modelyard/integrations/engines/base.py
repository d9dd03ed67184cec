"""The interface of an engine: given what to serve, it returns its program as plain data."""

from dataclasses import dataclass
from typing import Protocol

from modelyard.api.conditions import Reason
from modelyard.api.devices import DeviceRequest
from modelyard.api.inference_service import Resources
from modelyard.integrations.engines.metrics import EngineMetrics
from modelyard.integrations.engines.version import EngineVersion, Release
from modelyard.integrations.pod_parts import ModelRef, PodParts


@dataclass(frozen=True)
class Port:
    """A port of the engine's container, and the port of the Service that leads to it; None: none does."""

    name: str
    container: int
    service: int | None


@dataclass(frozen=True)
class CompileCache:
    """Where an engine keeps what it compiles: in ``folder``, at or below what its ``variable`` names. Where it finds a
    whole copy at the same path, as in another pod, it need not compile the same again.
    """

    variable: str
    folder: str


@dataclass(frozen=True)
class Serving:
    """What an engine has to serve, on which devices.

    ``args`` and ``resources`` are the user's; ``models`` are those of a repository that the user names, none for all of
    it; ``drain_s`` is how long running requests may take after SIGTERM.
    """

    model: ModelRef
    version: EngineVersion
    devices: DeviceRequest
    args: tuple[str, ...]
    resources: Resources
    models: tuple[str, ...]
    drain_s: int


@dataclass(frozen=True)
class Ipv6:
    """How an engine listens on IPv6. ``serves_ipv4``: it then listens on the pod's IPv4 addresses too."""

    arguments: tuple[str, ...]
    serves_ipv4: bool


@dataclass(frozen=True)
class Program:
    """An engine's container: its command, what it adds to the pod, and its health paths on the port ``http``.

    ``ready_path`` answers 200 when the model is ready, ``live_path`` as long as a restart would not help.
    ``entrypoint`` is the script through which the engine's own images run their command; an image without it runs the
    command as it is. The command listens on IPv4 addresses; ``ipv6`` is for pods with others, None where the user's
    arguments name an address.
    Where the engine's version is unknown, ``package`` is the Python package whose version the launcher looks up in the
    image, and ``doubtful`` are the arguments that it leaves out of the command for a version older than the one beside
    them.
    """

    command: tuple[str, ...]
    parts: PodParts
    ready_path: str
    live_path: str
    entrypoint: str | None = None
    ipv6: Ipv6 | None = None
    package: str | None = None
    doubtful: tuple[tuple[str, Release], ...] = ()


class Engine(Protocol):
    """A program that serves models. Its file holds all that is known of its actual behaviour."""

    @property
    def name(self) -> str:
        """As in ``engine.type``."""

    @property
    def ports(self) -> tuple[Port, ...]:
        """Its ports; the one named ``http`` is there always, and is the one that is probed."""

    @property
    def teardown_s(self) -> int:
        """How long it takes to exit after its last response, in seconds."""

    @property
    def takes_names(self) -> bool:
        """Whether its model takes the user's names; not where each of its models has a name of its own."""

    @property
    def compile_cache(self) -> CompileCache | None:
        """Where it keeps what it compiles; None for one that compiles nothing worth keeping."""

    @property
    def published(self) -> str:
        """The repositories of the images that its own project publishes, tagged by version: a regular expression of
        their names, without the registry.
        """

    @property
    def error_lines(self) -> tuple[tuple[Reason, str], ...]:
        """What lines of its output mean when it fails, as regular expressions; the first that is found decides."""

    @property
    def metrics(self) -> EngineMetrics | None:
        """Where it reports its load, and under which names; None for one that reports none."""

    def program(self, serving: Serving) -> Program:
        """How to run it. Raises InvalidError when the user's arguments cannot work, with the remedy."""
