"""etcd, kube-apiserver and kubectl side by side in one folder: an API server for tests, without any cluster."""

from pathlib import Path

from e2e.cluster import debian
from e2e.cluster.steps import Making

ETCD_RELEASE = "trixie"


def fetch_etcd(making: Making) -> None:
    """Unpack Debian's etcd: it needs libc 2.34, which Debian 12 and later have."""
    debian.require("etcd is missing", "Give Docker access to image registries, where it is taken from.")
    debian.unpack(making, ("etcd-server",), ETCD_RELEASE)


def gather_built(making: Making) -> None:
    """Links to the programs built from Go modules and unpacked from Debian's package."""
    (making.folder / "etcd").symlink_to(making.results["etcd"].folder / "root/usr/bin/etcd")
    for name in ("kube-apiserver", "kubectl"):
        (making.folder / name).symlink_to(making.results["kubernetes"].folder / name)
