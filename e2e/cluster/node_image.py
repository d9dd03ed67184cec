"""The kind node image from Debian packages and our own Kubernetes, everything preloaded; node/ holds its content."""

from pathlib import Path

from e2e.cluster import base_images, images, kubernetes
from e2e.cluster.steps import Making

CONTENT = Path(__file__).parent / "node"
# As `kubeadm config images list` prints them, etcd and CoreDNS with the tags that the cluster's configuration sets.
ETCD_TAG = "3.5.16-0"
COREDNS_TAG = "v1.12.4"
PRELOADED = {
    "pause": "pause:3.10.1",
    "coredns": f"coredns/coredns:{COREDNS_TAG}",
    "etcd": f"etcd:{ETCD_TAG}",
    **{
        name: f"{name}:{kubernetes.VERSION}"
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    },
}


def build(making: Making) -> None:
    """Build the control plane's images, then the node image with an archive of them inside."""
    base = images.tag(f"debian-{base_images.NODE_RELEASE}", making.results[f"debian-{base_images.NODE_RELEASE}"])
    binaries = making.results["kubernetes"].folder
    contexts = (f"binaries={binaries}", f"archives={making.folder}")
    build = ("docker", "build", "--build-arg", f"BASE={base}", *(f"--build-context={context}" for context in contexts))
    names = {target: f"registry.k8s.io/{name}" for target, name in PRELOADED.items()}
    for target, name in names.items():
        making.commands.run(*build, "--target", target, "--tag", name, CONTENT)
    archive = making.folder / "images.tar"
    making.commands.run("docker", "save", "--output", archive, *names.values())
    making.commands.run(*build, "--target", "node", "--tag", images.tag("node", making), CONTENT)
    making.commands.run("docker", "rmi", *names.values())
    archive.unlink()
