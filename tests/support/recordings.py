"""What was recorded of the real engines: metrics, answers and logs (tests/recordings)."""

from pathlib import Path

RECORDINGS = Path(__file__).parents[1] / "recordings"


def triton_recording(path: str) -> Path:
    """One recorded file of Triton 2.51, e.g. `endpoints/index-all.txt`."""
    return RECORDINGS / "triton" / path


def vllm_recording(path: str) -> Path:
    """One recorded file of vLLM 0.32, e.g. `endpoints/version.txt`."""
    return RECORDINGS / "vllm" / path
