"""The images of KEDA, metrics-server and Prometheus: pulled where that is possible, else built from Go modules and from
Debian's package.
"""

import os
from pathlib import Path

from e2e.cluster import base_images, debian, images, keda, tools
from e2e.cluster.go_modules import Module
from e2e.cluster.images import CONTROL_PLANE, ROOT, Image, tag
from e2e.cluster.steps import Making, Step

METRICS_SERVER = Module("sigs.k8s.io/metrics-server", "v0.9.0", "h1:nlqqZ2H0Xfko8eJC/1qaNVVT17hu4rxndkOi22KTZ4w=")
CONTEXT = ROOT / "e2e/images/autoscalers"
PROMETHEUS_CONTEXT = ROOT / "e2e/images/prometheus"
BASE = f"debian-{base_images.NODE_RELEASE}"
PROGRAMS = (
    f"{keda.MODULE.path}/cmd/operator",
    f"{keda.MODULE.path}/cmd/adapter",
    f"{METRICS_SERVER.path}/cmd/metrics-server",
)
# On the one node that no test stops: while a server of an API is away, no namespace can be deleted.
NODES = (CONTROL_PLANE,)
PUBLISHED = {
    "keda": f"ghcr.io/kedacore/keda:{keda.VERSION}",
    "keda-metrics": f"ghcr.io/kedacore/keda-metrics-apiserver:{keda.VERSION}",
    "metrics-server": f"registry.k8s.io/metrics-server/metrics-server:{METRICS_SERVER.version}",
    "prometheus": "quay.io/prometheus/prometheus:v2.53.3",
}
IMAGES = {name: Image(name, NODES, usually_s=5, published=published) for name, published in PUBLISHED.items()}


def steps(*, pull: bool) -> tuple[Step, ...]:
    """Each image, in the engine and on its node."""
    makes = [images.pull_step(image) for image in IMAGES.values()] if pull else _build_steps()
    return (*makes, *(images.load_step(image) for image in IMAGES.values()))


def _build_steps() -> tuple[Step, ...]:
    made_from = (keda.MODULE, keda.TRIGGERS, keda.CLOUDS, keda.CLOUD_FILES)
    source: tuple[Path | str, ...] = (*(str(each) for each in made_from), keda.LEFT_OUT)
    return (
        Step("keda-source", f"KEDA {keda.VERSION}'s source, made smaller", 5, keda.fetch_source, ("go",), source),
        Step(
            "autoscaler-programs",
            "KEDA and metrics-server",
            300,
            build_programs,
            needs=("go", "keda-source"),
            inputs=(CONTEXT / "go", *PROGRAMS),
        ),
        Step("prometheus-package", "Prometheus from Debian", 20, fetch_prometheus),
        *(_image_step(name) for name in PUBLISHED if name != "prometheus"),
        Step(
            "image-prometheus",
            "the image prometheus",
            IMAGES["prometheus"].usually_s,
            build_prometheus_image,
            needs=("engine", BASE, "prometheus-package"),
            inputs=(PROMETHEUS_CONTEXT,),
            is_made=images.is_in_engine("prometheus"),
        ),
    )


def build_programs(making: Making) -> None:
    """Static binaries into the step's folder. A Go older than the modules want fetches a newer one by itself."""
    work = making.folder / "module"
    work.mkdir()
    for file in (CONTEXT / "go").iterdir():
        (work / file.name).write_bytes(file.read_bytes())
    (work / "keda").symlink_to(making.results["keda-source"].folder / "keda")
    making.commands.run(
        *(tools.go(making), "build", "-p", str(os.cpu_count() or 1), "-trimpath", "-buildvcs=false", "-mod=readonly"),
        *("-ldflags", "-s -w", "-o", f"{making.folder}/", *PROGRAMS),
        cwd=work,
        environment={"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "auto"},
    )


def _image_step(name: str) -> Step:
    def build(making: Making) -> None:
        programs = making.results["autoscaler-programs"].folder
        making.commands.run(
            *("docker", "build", "--build-context", f"programs={programs}", "--target", name),
            *("--tag", tag(name, making), CONTEXT),
        )

    return Step(
        f"image-{name}",
        f"the image {name}",
        IMAGES[name].usually_s,
        build,
        needs=("engine", "autoscaler-programs"),
        inputs=(CONTEXT / "Dockerfile",),
        is_made=images.is_in_engine(name),
    )


def fetch_prometheus(making: Making) -> None:
    """Unpack Debian's Prometheus: it needs no library but libc."""
    debian.require("Prometheus is missing", "Give Docker access to image registries: it is taken from there.")
    debian.unpack(making, ("prometheus",), base_images.NODE_RELEASE)


def build_prometheus_image(making: Making) -> None:
    """The program on a bare Debian."""
    making.commands.run(
        *("docker", "build", "--build-arg", f"BASE={tag(BASE, making.results[BASE])}"),
        *("--build-context", f"package={making.results['prometheus-package'].folder / 'root/usr/bin'}"),
        *("--tag", tag("prometheus", making), PROMETHEUS_CONTEXT),
    )
