"""Writes a model folder of a few kilobytes for tests to upload and serve, with the stand-in or the real vLLM.

`python -m e2e.images.standin.tiny_model FOLDER` from the repository's root.
"""

import json
import sys
from pathlib import Path
from typing import Any

HIDDEN = 32  # one head of 32 values: the least that the real vLLM has a CPU kernel for
LAYERS = 1
VOCABULARY = ("<unk>", "<s>", "</s>", "the", "model", "is", "not", "here")
BYTES_PER_VALUE = 2  # bfloat16
CHAT_TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}<|assistant|>"


def write_tiny_model(folder: Path, *, max_tokens: int = 2048, weights_seed: int = 0) -> Path:
    """Makes `folder` a Llama of a few thousand values whose context is `max_tokens`; another seed gives other bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "max_position_embeddings": max_tokens,
        "vocab_size": len(VOCABULARY),
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(VOCABULARY)},
            "unk_token": "<unk>",
        },
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "chat_template": CHAT_TEMPLATE,
        "model_max_length": max_tokens,
    }
    generation_config = {"bos_token_id": 1, "eos_token_id": 2}
    for name, content in (
        ("config.json", config),
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", tokenizer_config),
        ("generation_config.json", generation_config),
    ):
        (folder / name).write_text(json.dumps(content, indent=2))
    (folder / "model.safetensors").write_bytes(_safetensors(_shapes(), weights_seed))
    return folder


def _shapes() -> dict[str, tuple[int, ...]]:
    wide = 2 * HIDDEN
    shapes: dict[str, tuple[int, ...]] = {
        "lm_head.weight": (len(VOCABULARY), HIDDEN),
        "model.embed_tokens.weight": (len(VOCABULARY), HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for number in range(LAYERS):
        layer = f"model.layers.{number}"
        shapes |= {f"{layer}.{norm}.weight": (HIDDEN,) for norm in ("input_layernorm", "post_attention_layernorm")}
        shapes |= {f"{layer}.self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qkvo"}
        shapes |= {f"{layer}.mlp.{name}_proj.weight": (wide, HIDDEN) for name in ("gate", "up")}
        shapes[f"{layer}.mlp.down_proj.weight"] = (HIDDEN, wide)
    return shapes


def _safetensors(shapes: dict[str, tuple[int, ...]], seed: int) -> bytes:
    """A safetensors file: the header's length in eight bytes, the header as JSON, then the values."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in shapes.items():
        size = BYTES_PER_VALUE
        for length in shape:
            size *= length
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    ones = bytes((0x80 ^ (seed % 128), 0x3F)) * (offset // BYTES_PER_VALUE)
    return len(head).to_bytes(8, "little") + head + ones


if __name__ == "__main__":
    print(write_tiny_model(Path(sys.argv[1])))
