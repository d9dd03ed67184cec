"""Models on a hub with Hugging Face's API: ``hf://org/repository@revision``."""

import re

from modelyard.api.inference_service import Model
from modelyard.api.model_source import HuggingFace
from modelyard.contract import names
from modelyard.integrations.pod_parts import SourceParts
from modelyard.integrations.sources import base

_URI = re.compile(r"hf://([A-Za-z0-9][-A-Za-z0-9_.]*/)?[A-Za-z0-9][-A-Za-z0-9_.]*(@[^@\s]+)?")


class HuggingFaceSource:
    """Renders ``model.hf`` and ``model.credentials`` for the fetcher (fetcher/sources/hf.py)."""

    scheme = "hf"

    def parts(self, model: Model) -> SourceParts:
        """See sources/base.py."""
        if not _URI.fullmatch(model.uri):
            raise base.invalid_uri(
                model.uri,
                "write hf://org/repository, or hf://org/repository@revision, where revision is a branch, tag or commit",
            )
        hf = model.hf or HuggingFace()
        return SourceParts(
            base.variables({names.ENV_HF_ENDPOINT: hf.endpoint})
            + base.credentials(model)
            + base.ca_bundle(model.ca_bundle)
        )
