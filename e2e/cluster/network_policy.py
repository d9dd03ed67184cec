"""What enforces NetworkPolicies on workers whose pod network does not: kube-network-policies, built from its Go module.

The published node image needs none of this: its own pod network, kindnet, enforces them by the same program.
"""

from e2e.cluster import base_images, images, manifests, tools
from e2e.cluster.images import WORKERS, Image
from e2e.cluster.steps import Making, Step

IMAGE = Image("network-policy", WORKERS, usually_s=20)
CONTEXT = images.ROOT / "e2e/images" / IMAGE.name
PROGRAM = "sigs.k8s.io/kube-network-policies/cmd/kube-network-policies/standard"
WORKLOAD = ("kube-system", "daemonset/network-policy")
BASE = f"debian-{base_images.NODE_RELEASE}"


def steps() -> tuple[Step, ...]:
    """The program, its image, the image on the workers, and one pod of it on each."""
    program, image, load = f"{IMAGE.name}-program", f"image-{IMAGE.name}", f"load-{IMAGE.name}"
    return (
        Step(program, "kube-network-policies", 60, build_program, ("go",), (CONTEXT / "go", PROGRAM)),
        Step(
            image,
            f"the image {IMAGE.name}",
            IMAGE.usually_s,
            build_image,
            needs=("engine", BASE, program),
            inputs=(CONTEXT,),
            is_made=images.is_in_engine(IMAGE.name),
        ),
        images.load_step(IMAGE),
        Step(
            IMAGE.name,
            "NetworkPolicies are enforced",
            10,
            lambda making: manifests.apply(making, IMAGE.name, *WORKLOAD),
            needs=("kubectl", "network", image, load),
            inputs=(manifests.path(IMAGE.name),),
            is_made=lambda making: manifests.is_applied(making, *WORKLOAD),
        ),
    )


def build_program(making: Making) -> None:
    """A static binary into the step's folder. A Go older than the module requires fetches a newer one by itself."""
    making.commands.run(
        *(tools.go(making), "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w"),
        *("-o", making.folder / "kube-network-policies", PROGRAM),
        cwd=CONTEXT / "go",
        environment={"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "auto"},
    )


def build_image(making: Making) -> None:
    """The program beside iptables."""
    making.commands.run(
        *("docker", "build", "--build-arg", f"BASE={images.tag(BASE, making.results[BASE])}"),
        *("--build-context", f"program={making.results[f'{IMAGE.name}-program'].folder}"),
        *("--tag", images.tag(IMAGE.name, making), CONTEXT),
    )
