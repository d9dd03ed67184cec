"""What an administrator does on a node of the local cluster, or to it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


def tag_image(node: str, image: str, name: str) -> None:
    """Give an image that the node has another name."""
    _on(node, "ctr", "--namespace=k8s.io", "images", "tag", "--force", image, name)


@contextmanager
def frozen(node: str) -> Iterator[None]:
    """The node stands still with all that runs on it, as one that lost its power."""
    subprocess.run(["docker", "pause", node], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["docker", "unpause", node], check=True, capture_output=True)


def _on(node: str, *command: str) -> None:
    subprocess.run(["docker", "exec", node, *command], check=True, capture_output=True)
