"""Models on any web server: ``https://host/path``, one file or a manifest of files, known by its SHA-256."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from modelyard.api.inference_service import Model
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.integrations.pod_parts import SourceParts
from modelyard.integrations.sources import base

_URI = re.compile(r"https://[^/@?#\s]+/[^?#\s]*[^/?#\s]")
_HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}
"""Of Hugging Face's own hub; a mirror's host looks like any other."""

_PAGES = {"tree", "blob"}
_FILES = {"resolve", "raw"}


class HttpsSource:
    """Renders ``model.https`` and ``model.credentials`` for the fetcher (fetcher/sources/https.py)."""

    scheme = "https"

    def parts(self, model: Model) -> SourceParts:
        """See sources/base.py."""
        if (on_hub := _HubAddress.parse(model.uri)) and not (on_hub.is_file and model.https):
            raise base.invalid_uri(model.uri, f"for a model on the Hugging Face Hub, write {on_hub.uri}")
        if not _URI.fullmatch(model.uri):
            raise base.invalid_uri(
                model.uri,
                "it must name a file, or a manifest.json that lists files, without user, password, query or fragment: "
                "put credentials in a Secret and name it in spec.model.credentials.secretName",
            )
        if model.https is None:
            raise InvalidError(
                "InvalidSpec",
                "spec.model.https.sha256 is missing: set it to the SHA-256 of the file at spec.model.uri.",
            )
        return SourceParts(
            base.variables({names.ENV_HTTPS_SHA256: model.https.sha256})
            + base.credentials(model)
            + base.ca_bundle(model.ca_bundle)
        )


@dataclass(frozen=True)
class _HubAddress:
    """An address of the hub, as a browser has it: the repository's page, one of a revision, or one of its files."""

    uri: str
    """What names the repository at that revision as a model."""
    is_file: bool

    @classmethod
    def parse(cls, uri: str) -> Self | None:
        """None for any other address."""
        try:
            address = urlsplit(uri)
        except ValueError:
            return None
        if address.hostname not in _HUB_HOSTS:
            return None
        parts = [unquote(part) for part in address.path.split("/") if part]
        view = next((number for number, part in enumerate(parts[:3]) if part in _PAGES | _FILES), len(parts))
        repository = "/".join(parts[: min(view, 2)]) or "org/model"
        revision = parts[view + 1] if view + 1 < len(parts) else "main"
        return cls(
            f"hf://{repository}" + (f"@{revision}" if revision != "main" else ""),
            is_file=view < len(parts) and parts[view] in _FILES,
        )
