"""wip"""
from e2e.cluster import base_images, images, kubernetes, node_image, tools, engine, python_environment, binaries, kind_cluster, network
from e2e.cluster.steps import Step
import functools
def gather(m): (m.folder/"kubectl").symlink_to(m.results["kubernetes"].folder/"kubectl")
local=dict(local_node_image=True)
STEPS = (
  *engine.steps(),
  Step("go", "Go, to build Kubernetes", 20, tools.fetch_go),
  Step("kubernetes", "Kubernetes 1.34 from Go modules", 570, kubernetes.build, needs=("go",), inputs=(kubernetes.SOURCES, kubernetes._linker_flags())),
  Step("kind", "kind", 40, tools.install_kind, needs=("go",)),
  Step("etcd", "etcd", 40, binaries.fetch_etcd),
  Step("binaries", "etcd", 40, binaries.gather_built, needs=("etcd","kubernetes")),
  Step("debootstrap", "debootstrap", 5, base_images.fetch_debootstrap),
  Step("debian-trixie", "Debian 13 root", 110, lambda m: base_images.bootstrap(m, "trixie"), needs=("debootstrap","engine"), is_made=images.is_in_engine("debian-trixie")),
  Step("debian-bookworm", "Debian 12 root", 110, lambda m: base_images.bootstrap(m, "bookworm"), needs=("debootstrap","engine"), is_made=images.is_in_engine("debian-bookworm")),
  Step("python", "base", 30, base_images.build_python, needs=("debian-bookworm",), inputs=(base_images.PYTHON,), is_made=images.is_in_engine("python")),
  Step("kubectl","kubectl", 1, gather, needs=("kubernetes",)),
  Step("node-image", "base", 60, node_image.build, needs=("debian-trixie","kubernetes"), inputs=(node_image.CONTENT,), is_made=images.is_in_engine("node")),
  Step("cluster", "cluster", 60, lambda m: kind_cluster.create(m, images.tag("node",m.results["node-image"]), **local), needs=("node-image","kind"), is_made=kind_cluster.is_made, inputs=(str(kind_cluster.configuration(**local)),)),
  Step("network", "network", 60, lambda m: network.connect(m, **local), needs=("cluster","kubectl"), is_made=functools.partial(network.is_connected,**local)),
)
