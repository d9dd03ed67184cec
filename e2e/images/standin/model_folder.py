"""What the real engine finds wrong with a model's files, in its words and in its order (recorded logs of vLLM 0.32)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KNOWN_MODEL_TYPES = frozenset(
    ("gemma2", "gemma3", "gpt2", "gpt_oss", "llama", "mistral", "mixtral", "opt", "phi3", "qwen2", "qwen3", "qwen3_moe")
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
WEIGHT_PATTERNS = ("*.safetensors", "*.bin", "*.pt")
SAFETENSORS_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Model:
    architecture: str
    max_tokens: int
    """Longest prompt and answer together."""


class Unusable(Exception):  # noqa: N818  # it is the engine's error that carries the suffix, in the message
    """The engine ends with exit code 1 and this as the cause. The message is that of the real log, whole."""


def read_config(model: Path, max_model_tokens: int | None) -> Model:
    """The model's own limits, before anything is loaded. `max_model_tokens` is the value of --max-model-len."""
    if not model.is_dir():
        raise Unusable(
            f"huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or "
            f"'namespace/repo_name': '{model}'. Use `repo_type` argument if needed."
        )
    if not (model / "config.json").is_file():
        raise Unusable(
            _invalid_model_config(f"Invalid repository ID or local directory specified: '{model}'.\n{NO_CONFIG}")
        )
    try:
        config: dict[str, Any] = json.loads((model / "config.json").read_text())
    except ValueError as error:
        raise Unusable(
            f"json.decoder.JSONDecodeError: {error}\n\n"
            "During handling of the above exception, another exception occurred:\n\n"
            f"OSError: It looks like the config file at '{model}/config.json' is not a valid JSON file."
        ) from None
    if config.get("model_type") not in KNOWN_MODEL_TYPES:
        raise Unusable(_invalid_model_config(UNKNOWN_ARCHITECTURE.format(config.get("model_type"))))
    longest = int(config.get("max_position_embeddings", 2048))
    if max_model_tokens is not None and max_model_tokens > longest:
        raise Unusable(
            _invalid_model_config(
                f"User-specified max_model_len ({max_model_tokens}) is greater than the derived max_model_len "
                f"(max_position_embeddings={float(longest)} or model_max_length=None in model's config.json)."
            )
        )
    if not any((model / name).is_file() for name in TOKENIZER_FILES):
        raise Unusable(NO_TOKENIZER)
    return Model(str((config.get("architectures") or ["unknown"])[0]), max_model_tokens or longest)


def check_weights(model: Path) -> None:
    """What loading the weights finds: missing, cut or incomplete files, never corrupt bytes (as measured)."""
    found = [path for pattern in WEIGHT_PATTERNS for path in sorted(model.glob(pattern))]
    if not found:
        raise Unusable(f"RuntimeError: Cannot find any model weights with `{model}`")
    index = model / "model.safetensors.index.json"
    if index.is_file():
        listed = set(json.loads(index.read_text())["weight_map"].values())
        missing = sorted(listed - {path.name for path in found})
        if missing:
            raise Unusable(f"FileNotFoundError: Weight files referenced in index but missing: {', '.join(missing)}")
    for path in found:
        if path.suffix == ".safetensors" and not _is_whole(path):
            raise Unusable(
                "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: "
                "incomplete metadata, file not fully covered"
            )


def check_cache(max_model_tokens: int, block_tokens: int, blocks_override: int | None) -> None:
    """Whether the key-value cache that --num-gpu-blocks-override leaves holds one request of full length."""
    if blocks_override is not None and blocks_override * block_tokens < max_model_tokens:
        raise Unusable(
            f"ValueError: To serve at least one request with the model's max seq len ({max_model_tokens}), "
            "more KV cache is needed than is available. Try increasing `gpu_memory_utilization` or decreasing "
            "`max_model_len` when initializing the engine."
        )


def _is_whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its header states."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(SAFETENSORS_LENGTH_BYTES), "little")
        size = path.stat().st_size
        if header_bytes > size:
            return False
        try:
            header: dict[str, Any] = json.loads(file.read(header_bytes))
        except ValueError:
            return False
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return size == SAFETENSORS_LENGTH_BYTES + header_bytes + max(ends, default=0)


def _invalid_model_config(reason: str) -> str:
    return (
        f"pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, {reason}"
        " [type=value_error, input_value=ArgsKwargs((), {'model': ...}), input_type=ArgsKwargs]"
    )


NO_CONFIG = """\
Please verify the following requirements:
1. Provide a valid Hugging Face repository ID.
2. Specify a local directory that contains a recognized configuration file.
   - For Hugging Face models: ensure the presence of a 'config.json'.
   - For Mistral models: ensure the presence of a 'params.json'.
"""
UNKNOWN_ARCHITECTURE = (
    "The checkpoint you are trying to load has model type `{}` but Transformers does not recognize this architecture. "
    "This could be because of an issue with the checkpoint, or because your version of Transformers is out of date."
)
NO_TOKENIZER = """\
ValueError: Couldn't instantiate the backend tokenizer from one of: 
(1) a `tokenizers` library serialization file, 
(2) a slow tokenizer instance to convert or 
(3) an equivalent slow tokenizer class to instantiate and convert. 
You need to have sentencepiece or tiktoken installed to convert a slow tokenizer to a fast one."""  # noqa: W291  # the engine's own trailing blanks
