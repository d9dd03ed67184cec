"""A third engine, whole: the model's files over HTTP. Tests register it; the operator knows nothing else of it."""

from modelyard.api.conditions import Reason
from modelyard.contract import names
from modelyard.integrations.engines.base import Port, Program, Serving
from modelyard.integrations.pod_parts import PodParts

PORT = 8000


class Files:
    """Python's own file server."""

    name = "files"
    ports = (Port(names.PORT_HTTP, PORT, names.SERVICE_PORT),)
    teardown_s = 1
    compile_cache = None
    metrics = None
    takes_names = False
    published = "python"
    error_lines: tuple[tuple[Reason, str], ...] = ()

    def program(self, serving: Serving) -> Program:
        """See engines/base.py."""
        return Program(
            command=("python3", "-m", "http.server", f"--directory={serving.model.path}", *serving.args, str(PORT)),
            parts=PodParts(),
            ready_path="/",
            live_path="/",
        )
