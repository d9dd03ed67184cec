"""modelyard: a Kubernetes operator that serves models with vLLM and Triton."""

__version__ = "0.1.0"
