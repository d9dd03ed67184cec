"""The project's images and the test images: what each is built from, and which nodes get it.

Tags carry the key of their content: a changed source is a new image name, so a Deployment that names it rolls out, and an
image that a node already has is never loaded again. Where registries can be reached, an image with a published equivalent
is pulled instead of built.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.steps import Making, Step

ROOT = Path(__file__).parents[2]
PREFIX = "modelyard.local"
GPU_WORKER = "modelyard-worker"
SPOT_WORKER = "modelyard-worker2"
WORKERS = (GPU_WORKER, SPOT_WORKER)
# Only this worker takes pods that do not tolerate the GPU taint.
UNTAINTED = (SPOT_WORKER,)


@dataclass(frozen=True)
class Image:
    """An image to build from `context`; `sources` are the parts of the context that it is made from.

    `published` is what to pull instead where that is possible. `usually_s` is the build's time, `load_s` the loading's.
    """

    name: str
    nodes: tuple[str, ...]
    usually_s: float
    load_s: float = 5
    context: Path = ROOT
    target: str | None = None
    sources: tuple[str, ...] = ()
    published: str | None = None


def _test_image(name: str, nodes: tuple[str, ...], usually_s: float, load_s: float = 5, published: str | None = None) -> Image:
    return Image(name, nodes, usually_s, load_s, context=ROOT / "e2e/images" / name, published=published)


PROJECT = ("Dockerfile", "pyproject.toml", "operator")
IMAGES = (
    Image("modelyard", UNTAINTED, 60, target="modelyard", sources=(*PROJECT, "locks/operator.txt")),
    Image("modelyard-fetch", WORKERS, 60, target="modelyard-fetch", sources=(*PROJECT, "locks/fetch.txt")),
    _test_image("vllm-cpu", UNTAINTED, 360, 120, published="vllm/vllm-openai-cpu:v0.32.0"),
    _test_image("standin", WORKERS, 20),
    _test_image("s3", UNTAINTED, 30),
    _test_image("gpu-plugin", WORKERS, 20),
)


def tag(name: str, making: Making) -> str:
    """The image's name in the engine and on the nodes."""
    return f"{PREFIX}/{name}:{making.key}"


def is_in_engine(name: str) -> Callable[[Making], bool]:
    """For a step's `is_made`: whether the engine has the image under this key."""
    return lambda making: _quiet("docker", "image", "inspect", tag(name, making)).returncode == 0


def existing(images: tuple[Image, ...] = IMAGES) -> tuple[Image, ...]:
    """The images whose Dockerfile is in the tree."""
    return tuple(image for image in images if (image.context / "Dockerfile").exists())


def build_step(image: Image, base: str | None, build_needs: tuple[str, ...]) -> Step:
    """The step that builds the image, on the step `base`'s image where one is named, else on the Dockerfile's default."""
    sources = tuple(image.context / source for source in image.sources) or (image.context,)
    return Step(
        f"image-{image.name}",
        f"the image {image.name}",
        image.usually_s,
        lambda making: _build(image, base, making),
        needs=build_needs,
        inputs=(*sources, image.target or ""),
        is_made=is_in_engine(image.name),
    )


def pull_step(image: Image) -> Step:
    """The step that pulls the image's published equivalent."""
    published = image.published
    assert published is not None

    def pull(making: Making) -> None:
        making.commands.run("docker", "pull", published)
        making.commands.run("docker", "tag", published, tag(image.name, making))

    return Step(
        f"image-{image.name}",
        f"the image {published}",
        image.usually_s,
        pull,
        needs=("engine",),
        inputs=(published,),
        is_made=is_in_engine(image.name),
    )


def load_step(image: Image) -> Step:
    """The step that loads the image on its nodes, each only if it lacks it."""
    build = f"image-{image.name}"

    def reference(making: Making) -> str:
        return tag(image.name, making.results[build])

    def is_loaded(making: Making) -> bool:
        return not _nodes_without(reference(making), image.nodes)

    def load(making: Making) -> None:
        name = reference(making)
        for node in _nodes_without(name, image.nodes):
            importer = ("ctr", "--namespace=k8s.io", "images", "import", "--all-platforms", "--digests", "-")
            making.commands.pipe(("docker", "save", name), ("docker", "exec", "--interactive", node, *importer))

    return Step(
        f"load-{image.name}",
        f"{image.name} on {', '.join(image.nodes)}",
        image.load_s,
        load,
        needs=(build, "cluster"),
        is_made=is_loaded,
    )


def _build(image: Image, base: str | None, making: Making) -> None:
    arguments = ("--build-arg", f"BASE={tag(base, making.results[base])}") if base else ()
    target = ("--target", image.target) if image.target else ()
    making.commands.run("docker", "build", *arguments, *target, "--tag", tag(image.name, making), image.context)


def _nodes_without(name: str, nodes: tuple[str, ...]) -> list[str]:
    def has(node: str) -> bool:
        listed = _quiet("docker", "exec", node, "ctr", "--namespace=k8s.io", "images", "list", "--quiet", f"name=={name}")
        return name in listed.stdout.split()

    return [node for node in nodes if not has(node)]


def _quiet(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
