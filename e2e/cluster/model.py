"""SmolLM2-135M-Instruct as files, made from packages: no model hub is needed (e2e/images/model shows how)."""

from pathlib import Path

from e2e.cluster.images import ROOT, tag
from e2e.cluster.steps import Making, Step

CONTENT = ROOT / "e2e/images/model"
NAME = "smollm2-135m"


def step(*, base: str | None) -> Step:
    """The step that converts the model in the served engine's image; `base` is the step of the local Python image."""
    return Step(
        NAME,
        "SmolLM2-135M-Instruct as safetensors",
        70,
        lambda making: convert(making, base),
        needs=("image-vllm-cpu", *([base] if base else [])),
        inputs=(CONTENT,),
    )


def convert(making: Making, base: str | None) -> None:
    """Write the model's files into the step's folder."""
    arguments = {"VLLM": tag("vllm-cpu", making.results["image-vllm-cpu"])}
    if base:
        arguments["BASE"] = tag(base, making.results[base])
    folder(making).mkdir()  # left to Docker, only its owner could read it, and engines run as another user
    making.commands.run(
        *("docker", "build", *(f"--build-arg={name}={value}" for name, value in arguments.items())),
        "--build-arg=PIP_INDEX_URL",  # without a value: the environment's, where it has one
        *(f"--output=type=local,dest={folder(making)}", CONTENT),
    )


def folder(making: Making) -> Path:
    """Where the model lies."""
    return making.folder / "model"
