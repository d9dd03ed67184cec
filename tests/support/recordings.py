"""What the real engines were recorded to say: metrics, answers, logs and flag lists, kept beside the repository."""

from pathlib import Path

VLLM = Path(__file__).parents[3] / "shared" / "engines" / "vllm"


def vllm_recording(path: str) -> Path:
    """One recorded file of vLLM 0.32, e.g. `endpoints/version.txt`. Raises FileNotFoundError that says what to do."""
    recorded = VLLM / path
    if not recorded.is_file():
        raise FileNotFoundError(
            f"{recorded} is missing: these tests compare with recordings of the real vLLM, which lie in "
            "../shared/engines beside the repository. Put them there, or record them anew from a running vLLM 0.32."
        )
    return recorded
