"""A Service of the cluster on loopback, as `kubectl port-forward` gives it to a person."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.support.kubectl import Kubectl

FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@contextmanager
def port_forward(kubectl: Kubectl, service: str, port: int = 80) -> Iterator[str]:
    """Base URL on loopback of one pod behind the Service; closed at the end.

    Raises RuntimeError with kubectl's message when it forwards nothing.
    """
    command = kubectl.command("port-forward", f"service/{service}", f":{port}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            output = process.stdout.readline()
            found = FORWARDING.search(output)
            if found is None:
                raise RuntimeError(f"kubectl port-forward: {output.strip()}")
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()
