"""modelyard-node: maintains one node's model cache until it is signalled to stop."""

import logging
import os
import signal
import sys
import threading
from types import FrameType

from modelyard.contract.errors import InvalidError
from modelyard.node.agent import Agent
from modelyard.node.configuration import Configuration
from modelyard.node.host.api_server import ApiServer

_log = logging.getLogger("modelyard.node")


def main() -> None:
    """The program. Exits with 0 on a stop signal, with 1 if its configuration is wrong."""
    stop = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        del number
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)  # first of all: PID 1 without a handler ignores it
    signal.signal(signal.SIGINT, on_signal)
    os.umask(0o022)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        configuration = Configuration.from_environment(os.environ)
    except InvalidError as error:
        sys.exit(str(error))
    agent = Agent(configuration, ApiServer(configuration.api_server, configuration.service_account_folder))
    agent.start()
    stop.wait()
    agent.stop()


if __name__ == "__main__":
    main()
