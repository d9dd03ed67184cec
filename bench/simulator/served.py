"""The engine that is validated against: vLLM's image and the demo's model, as the local cluster has them."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import engine, model, registry
from e2e.cluster.images import tag
from e2e.cluster.plan import all_steps
from e2e.cluster.run import plan
from e2e.cluster.steps import MARKER, Store, cache_folder

REMEDY = "Run `make up`, which makes it, and try again."


class MissingError(Exception):
    """What is missing, and what to do about it."""


@dataclass(frozen=True)
class Served:
    """An image in the Docker engine, and the folder of the model that it serves."""

    image: str
    model: Path


def find() -> Served:
    """Both, as set-up made them. Raises MissingError where one is not there: nothing is made here."""
    if not engine.answers():
        raise MissingError(f"No Docker engine answers (`docker info` fails). {REMEDY}")
    planned = plan(all_steps(pull=registry.can_pull()), [model.NAME], Store(cache_folder()))
    image = tag("vllm-cpu", planned["image-vllm-cpu"][1])
    if subprocess.run(("docker", "image", "inspect", image), capture_output=True, check=False).returncode:
        raise MissingError(f"The image {image} is not in the Docker engine. {REMEDY}")
    making = planned[model.NAME][1]
    if not (making.folder / MARKER).exists():
        raise MissingError(f"The model is not in {model.folder(making)}. {REMEDY}")
    return Served(image, model.folder(making))
