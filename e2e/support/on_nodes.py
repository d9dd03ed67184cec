"""What an administrator does on a node of the local cluster, or to it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGES = ("ctr", "--namespace=k8s.io", "images")


def images_of(node: str) -> list[str]:
    """The names of the images that the node has."""
    return _on(node, *IMAGES, "list", "--quiet").split()


def tag_image(node: str, image: str, name: str) -> None:
    """Give an image that the node has another name."""
    _on(node, *IMAGES, "tag", "--force", image, name)


def remove_images(node: str, *names: str) -> None:
    """Take names from a node, which keeps an image while it has others; one that is not there is none the less."""
    _on(node, *IMAGES, "remove", *names)


def copy_to(node: str, folder: Path, path: str) -> None:
    """Put a folder's content under a path of the node, where every user may read it."""
    _on(node, "mkdir", "-p", path)
    subprocess.run(["docker", "cp", f"{folder}/.", f"{node}:{path}"], check=True, capture_output=True)
    _on(node, "chmod", "-R", "a+rX", path)


def remove_from(node: str, path: str) -> None:
    """Remove a folder of the node with all that is in it."""
    _on(node, "rm", "-rf", path)


def folders_of(node: str, path: str) -> list[str]:
    """The names of the folders in a folder of the node; none where that is not there."""
    return _on(
        node, "sh", "-c", f"test ! -d {path} || find {path} -mindepth 1 -maxdepth 1 -type d -printf '%f\\n'"
    ).split()


def get_on(node: str, url: str) -> str:
    """The answer to a GET that the node itself sends. Raises CalledProcessError for every status but 2xx."""
    return _on(node, "curl", "--silent", "--show-error", "--fail", "--max-time", "10", url)


def kill_container(node: str, container_id: str) -> None:
    """End a container, given as `containerd://...`, without a chance to shut down."""
    _on(node, "ctr", "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", container_id.rpartition("/")[2])


@contextmanager
def frozen(node: str) -> Iterator[None]:
    """The node stands still with all that runs on it, as one that lost its power."""
    subprocess.run(["docker", "pause", node], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["docker", "unpause", node], check=True, capture_output=True)


def _on(node: str, *command: str) -> str:
    """Standard output of a command on the node. Raises CalledProcessError when it fails."""
    return subprocess.run(["docker", "exec", node, *command], check=True, capture_output=True, text=True).stdout
