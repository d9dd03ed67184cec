"""Models on any web server: ``https://host/path``, one file or a manifest of files, known by its SHA-256."""

import re

from modelyard.api.types import Model
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.integrations.pod_parts import SourceParts
from modelyard.integrations.sources import base

_URI = re.compile(r"https://[^/@?#\s]+/[^?#\s]*[^/?#\s]")


class HttpsSource:
    """Renders ``model.https`` and ``model.credentials`` for the fetcher (fetcher/https.py)."""

    scheme = "https"

    def parts(self, model: Model) -> SourceParts:
        """See sources/base.py."""
        if not _URI.fullmatch(model.uri):
            raise base.invalid_uri(
                model.uri,
                "name one file, or a manifest.json that lists files, without user, password, query or fragment: "
                "credentials go into a Secret that spec.model.credentials.secretName names",
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
