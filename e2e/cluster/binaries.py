"""etcd, kube-apiserver and kubectl side by side in one folder: an API server for tests, without any cluster."""

from e2e.cluster import debian, images
from e2e.cluster.steps import Making, link_program

ETCD_RELEASE = "trixie"
PUBLISHED = {"etcd": "registry.k8s.io/etcd:3.6.5-0", "kube-apiserver": "registry.k8s.io/kube-apiserver:v1.34.11"}


def fetch_etcd(making: Making) -> None:
    """Unpack Debian's etcd: it needs libc 2.34, which Debian 12 and later have."""
    debian.require("etcd is missing", "Give Docker access to image registries: it is taken from there.")
    debian.unpack(making, ("etcd-server",), ETCD_RELEASE)


def link_kubectl(making: Making) -> None:
    """The kubectl that was built with the cluster's Kubernetes, for our own commands and for the PATH of tests."""
    (making.folder / "kubectl").symlink_to(making.results["kubernetes"].folder / "kubectl")
    link_program("kubectl", making.folder / "kubectl")


def gather(making: Making) -> None:
    """Links to the programs built from Go modules and unpacked from Debian's package."""
    (making.folder / "etcd").symlink_to(making.results["etcd"].folder / "root/usr/bin/etcd")
    for name in ("kube-apiserver", "kubectl"):
        (making.folder / name).symlink_to(making.results["kubernetes"].folder / name)


def extract_kubectl(making: Making) -> None:
    """The kubectl that lies in the published node image."""
    _copy_out(making, images.tag("node", making.results["node-image"]), "/usr/bin/kubectl")
    link_program("kubectl", making.folder / "kubectl")


def extract(making: Making) -> None:
    """The programs that lie in the control plane's published images."""
    for name, image in PUBLISHED.items():
        making.commands.run("docker", "pull", image)
        _copy_out(making, image, f"/usr/local/bin/{name}")
    (making.folder / "kubectl").symlink_to(making.results["kubectl"].folder / "kubectl")


def _copy_out(making: Making, image: str, path: str) -> None:
    container = making.commands.output("docker", "create", image)
    making.commands.run("docker", "cp", f"{container}:{path}", making.folder)
    making.commands.run("docker", "rm", container)
