"""The certificates of authorities that a service names, as they lie in the pod now."""

import ssl
from pathlib import Path

from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.failure import FetchError, Reason


def ca_bundle(configuration: Configuration) -> Path | None:
    """The PEM file of ``model.caBundle``; None where the service names none.

    Raises FetchError when it is not there (CA_BUNDLE_MISSING) or holds no certificates (CA_BUNDLE_INVALID).
    """
    path = configuration.ca_bundle
    if path is None:
        return None
    owner = f"ConfigMap {configuration.ca_bundle_config_map!r}" if configuration.ca_bundle_config_map else str(path)
    if not path.is_file():
        raise FetchError(
            Reason.CA_BUNDLE_MISSING,
            f"{owner} does not exist or has no key {path.name!r}, as spec.model.caBundle names it: create it. "
            "The kubelet brings it into this pod within about a minute, and the fetch goes on",
        )
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise FetchError(
            Reason.CA_BUNDLE_INVALID,
            f"key {path.name!r} of {owner} holds no PEM certificates ({error}): put the CA's certificate there, the "
            "text from BEGIN CERTIFICATE to END CERTIFICATE. It is read again within about two minutes",
        ) from error
    return path
