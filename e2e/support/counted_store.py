"""The way to a store through a proxy that is as slow as a test sets it, and that counts what comes out."""

from pathlib import Path

from e2e.cluster.images import reference
from e2e.support import slow_proxy, store
from e2e.support.kubectl import Kubectl
from e2e.support.objects import in_front_of, pod, run

NAME = "slow"
URL = f"http://{NAME}:{slow_proxy.LISTEN_PORT}"


def start_proxy(kubectl: Kubectl, bytes_per_s: int) -> None:
    """Lead URL to the namespace's own store; its answers come at ``bytes_per_s``, all together."""
    kubectl.apply(in_front_of(NAME, NAME, slow_proxy.LISTEN_PORT))
    program = Path(slow_proxy.__file__).read_text()
    args = (store.NAME, str(store.HTTP), str(bytes_per_s))
    run(kubectl, pod(NAME, reference("standin"), command=("python3", "-c", program), args=args))


def stop_proxy(kubectl: Kubectl) -> None:
    """Nothing answers at URL any more."""
    kubectl.run("delete", f"pod/{NAME}", "--wait=true")


def answered_bytes(kubectl: Kubectl) -> int:
    """Bytes of answers on all connections that have ended, heads and listings included."""
    lines = kubectl.run("logs", NAME).split()
    return int(lines[-1]) if lines else 0
