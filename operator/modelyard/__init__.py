"""How does one InferenceService become a model that is served, with vLLM or Triton, on Kubernetes?"""

__version__ = "0.1.0"
