"""Modules of e2e/images, whose folders carry the images' names and so cannot be imported as packages."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

IMAGES = Path(__file__).parents[2] / "e2e/images"


def image_module(image: str, name: str) -> ModuleType:
    """The module `name`.py of an image's folder."""
    unique = f"{image}.{name}"
    spec = spec_from_file_location(unique, IMAGES / image / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[unique] = module  # where a dataclass looks up its own module
    spec.loader.exec_module(module)
    return module
