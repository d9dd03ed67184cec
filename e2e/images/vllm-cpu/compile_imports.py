"""Write the bytecode of what a start imports, and of nothing else.

The root file system is read-only once the image runs, so whatever lacks bytecode is compiled at every start, in each of
the engine's processes. That of every file would be 280 MB, that of these is 106 MB.
"""

import compileall
import importlib
from importlib.util import find_spec

MODULES = (
    "vllm.entrypoints.cli.main",
    "vllm.entrypoints.cli.serve",
    "vllm.entrypoints.openai.api_server",
    "vllm.v1.engine.async_llm",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.v1.structured_output.backend_xgrammar",
    "vllm.model_executor.model_loader.default_loader",
    "vllm.model_executor.models.llama",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.configuration_llama",
)
# Loaded piece by piece while the server builds its routes.
PACKAGES = (
    "compressed_tensors",
    "model_hosting_container_standards",
    "uvicorn",
    "vllm.entrypoints",
    "websockets",
)

if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None
        for folder in spec.submodule_search_locations or ():
            compileall.compile_dir(folder, quiet=1)
