"""The program `modelyard`: the operator."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from modelyard import __version__
from modelyard.api import settings
from modelyard.contract.errors import InvalidError
from modelyard.controller import app, log
from modelyard.controller.cluster.login import LoginError

logger = logging.getLogger("modelyard")

DEEPEST_OBJECT = 10_000
"""Levels of JSON that the API server takes; spec.podTemplate may have them, since its schema is open. Python's own
limit of 1000 would let one such object end every LIST and watch that it is a part of. 2 MiB of stack suffice for them
(measured), a main thread has 8."""


def main() -> None:
    """Run the operator until SIGTERM or SIGINT. Ends with status 1 when it cannot start or a part of it failed."""
    parser = argparse.ArgumentParser(prog="modelyard", description="Serves models from InferenceServices.")
    parser.add_argument("--settings", type=Path, required=True, help="YAML file with the operator's settings")
    parser.add_argument("--namespace", default="modelyard-system", help="namespace that it runs in, for its Lease")
    parser.add_argument("--port", type=int, default=app.HTTP_PORT, help="port of /healthz, /readyz and /metrics")
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args()
    log.configure(arguments.log_level)
    sys.setrecursionlimit(2 * DEEPEST_OBJECT)
    try:
        chosen = settings.load(arguments.settings).running_in(arguments.namespace)
        asyncio.run(app.run(chosen, arguments.namespace, arguments.port))
    except (app.StartError, LoginError, InvalidError) as error:
        logger.error("cannot start: %s", error)  # noqa: TRY400 - the message says all; a traceback tells users nothing
        sys.exit(1)
    except Exception:
        logger.exception("ended")
        sys.exit(1)


if __name__ == "__main__":
    main()
