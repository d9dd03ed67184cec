"""The project's images and the test images: what each is built from, and which nodes get it.

Tags carry the key of their content: a changed source is a new image name, so a Deployment that names it rolls out, and
an image that a node already has is never loaded again. Where registries can be reached, an image with a published
equivalent is pulled instead of built.
"""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.commands import Commands
from e2e.cluster.steps import Making, Step, cache_folder

ROOT = Path(__file__).parents[2]
RECORD = cache_folder() / "cluster/images.json"
PREFIX = "modelyard.local"
CONTROL_PLANE = "modelyard-control-plane"
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


def _test_image(
    name: str, nodes: tuple[str, ...], usually_s: float, load_s: float = 5, published: str | None = None
) -> Image:
    return Image(name, nodes, usually_s, load_s, context=ROOT / "e2e/images" / name, published=published)


PROJECT = ("Dockerfile", "pyproject.toml", "README.md", "LICENSE", "operator", "locks/build.txt")
IMAGES = (
    Image("operator", UNTAINTED, 60, target="operator", sources=(*PROJECT, "locks/operator.txt")),
    Image("fetch", WORKERS, 60, target="fetch", sources=(*PROJECT, "locks/fetch.txt")),
    Image("node-agent", (CONTROL_PLANE, *WORKERS), 60, target="node", sources=(*PROJECT, "locks/node.txt")),
    _test_image("vllm-cpu", UNTAINTED, 360, 120, published="vllm/vllm-openai-cpu:v0.32.0"),
    _test_image("triton", UNTAINTED, 60, 20),
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


def build_step(image: Image, base: str | None) -> Step:
    """The step that builds the image, on the image of the step `base`, else on the Dockerfile's default."""
    sources = tuple(image.context / source for source in image.sources) or (image.context,)
    return Step(
        f"image-{image.name}",
        f"the image {image.name}",
        image.usually_s,
        lambda making: _build(image, base, making),
        needs=("engine", base) if base else ("engine",),
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

    def make(making: Making) -> None:
        for node in _nodes_without(reference(making), image.nodes):
            making.commands.pipe(("docker", "save", reference(making)), _importer(node))

    return Step(
        f"load-{image.name}",
        f"{image.name} on {', '.join(image.nodes)}",
        image.load_s,
        make,
        needs=(build, "cluster"),
        is_made=is_loaded,
    )


def record(loaded: Mapping[str, Making]) -> None:
    """Remember which images the cluster has, by the name of the step that built each."""
    references = {image.name: tag(image.name, loaded[f"image-{image.name}"]) for image in IMAGES}
    partial = RECORD.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(references, indent=1))
    partial.replace(RECORD)


def reference(name: str) -> str:
    """The image of that name as pods name it, since the last `python3 -m e2e.cluster up`."""
    references: dict[str, str] = json.loads(RECORD.read_text())
    return references[name]


def load(name: str, nodes: tuple[str, ...] = WORKERS) -> None:
    """Load any image of the engine on nodes that lack it."""
    commands = Commands(cache_folder() / "logs/load.log", os.environ)
    for node in _nodes_without(name, nodes):
        commands.pipe(("docker", "save", name), _importer(node))


def _importer(node: str) -> tuple[str, ...]:
    importer = ("ctr", "--namespace=k8s.io", "images", "import", "--all-platforms", "-")
    return ("docker", "exec", "--interactive", node, *importer)


def _build(image: Image, base: str | None, making: Making) -> None:
    # Without a value the argument takes this environment's: a machine that reaches the index through a mirror.
    index = ("--build-arg", "PIP_INDEX_URL")
    on_base = ("--build-arg", f"BASE={tag(base, making.results[base])}") if base else ()
    target = ("--target", image.target) if image.target else ()
    making.commands.run("docker", "build", *index, *on_base, *target, "--tag", tag(image.name, making), image.context)


def _nodes_without(name: str, nodes: tuple[str, ...]) -> list[str]:
    def has(node: str) -> bool:
        listed = _quiet(
            "docker", "exec", node, "ctr", "--namespace=k8s.io", "images", "list", "--quiet", f"name=={name}"
        )
        return name in listed.stdout.split()

    return [node for node in nodes if not has(node)]


def _quiet(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
