"""The node's GPUs, which do not exist, and which of them are declared broken."""

from collections.abc import Iterable
from pathlib import Path

HEALTHY, UNHEALTHY = "Healthy", "Unhealthy"


def device_ids(count: int) -> tuple[str, ...]:
    """`gpu-0`, `gpu-1`, ..."""
    return tuple(f"gpu-{number}" for number in range(count))


def health_by_id(ids: Iterable[str], unhealthy: frozenset[str]) -> dict[str, str]:
    """Each device's health in the kubelet's words; names of devices that are not there are ignored."""
    return {id_: UNHEALTHY if id_ in unhealthy else HEALTHY for id_ in ids}


def unhealthy_ids(folder: Path) -> frozenset[str]:
    """The devices that a person or a test declared broken: the names of the files in the folder."""
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def container_environment(ids: Iterable[str]) -> dict[str, str]:
    """The environment of a container for the GPUs it was given, as NVIDIA's plugin does."""
    return {"NVIDIA_VISIBLE_DEVICES": ",".join(sorted(ids))}


def identity(path: Path) -> tuple[int, int] | None:
    """What changes when the file is made anew: inode and time of creation in ns. None while there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns
