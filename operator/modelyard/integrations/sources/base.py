"""The interface of a source of models, and what every source adds in the same way."""

from typing import Protocol

from modelyard.api.inference_service import Model
from modelyard.api.model_source import CaBundle
from modelyard.contract import names
from modelyard.contract.characters import refused_character
from modelyard.contract.errors import InvalidError
from modelyard.integrations.pod_parts import PodParts, SourceParts

READABLE_BY_GROUP = 0o440
"""Mode of mounted credentials: readable for the fetcher, as a member of the pod's fsGroup; not writable."""


class Source(Protocol):
    """One kind of place that models come from, chosen by the scheme of ``model.uri``."""

    @property
    def scheme(self) -> str:
        """The scheme without ``://``."""

    def parts(self, model: Model) -> SourceParts:
        """What the pod needs in order to have ``model``.

        Raises InvalidError when the URI, or a field beside it, cannot work.
        """


def invalid_uri(uri: str, problem: str) -> InvalidError:
    """The error for a URI that cannot work; ``problem`` has the reason and the remedy."""
    return InvalidError("InvalidSpec", f"spec.model.uri {uri!r}: {problem}")


def path_in(uri: str, path: str) -> str:
    """The ``path`` of ``uri`` without a slash at its end. Raises InvalidError for one that may lead elsewhere."""
    path = path.removesuffix("/")
    if path and any(part in {"", ".", ".."} for part in path.split("/")):
        raise invalid_uri(uri, "the path must not contain '.', '..' or empty segments")
    if refused := refused_character(path):
        raise invalid_uri(uri, f"the path contains {refused}, a control character or bidirectional override")
    return path


def variables(values: dict[str, str | None]) -> PodParts:
    """Variables of the fetcher, without those that are unset."""
    return PodParts(env=tuple({"name": name, "value": value} for name, value in values.items() if value is not None))


def credentials(model: Model) -> PodParts:
    """The Secret with the credentials as files; nothing when the pod's own identity is used.

    The volume is optional: the fetcher then reports a missing Secret or key by name within seconds, where a mount
    would hang and show it only in an Event. Files, since a variable is readable in many places
    and stays as it was when the Secret is rotated.
    """
    if model.credentials is None:
        return PodParts()
    secret = model.credentials.secret_name
    return PodParts(
        env=({"name": names.ENV_CREDENTIALS_SECRET, "value": secret},),
        volumes=(
            {
                "name": names.VOLUME_CREDENTIALS,
                "secret": {"secretName": secret, "optional": True, "defaultMode": READABLE_BY_GROUP},
            },
        ),
        mounts=({"name": names.VOLUME_CREDENTIALS, "mountPath": names.PATH_CREDENTIALS, "readOnly": True},),
    )


def ca_bundle(bundle: CaBundle | None) -> PodParts:
    """The ConfigMap with certificates to trust, optional for the same reason as credentials are."""
    if bundle is None:
        return PodParts()
    return PodParts(
        env=(
            {"name": names.ENV_CA_BUNDLE, "value": f"{names.PATH_CA_BUNDLE}/{bundle.key}"},
            {"name": names.ENV_CA_BUNDLE_CONFIG_MAP, "value": bundle.config_map_name},
        ),
        volumes=(
            {
                "name": names.VOLUME_CA_BUNDLE,
                "configMap": {
                    "name": bundle.config_map_name,
                    "optional": True,
                    "items": [{"key": bundle.key, "path": bundle.key}],
                },
            },
        ),
        mounts=({"name": names.VOLUME_CA_BUNDLE, "mountPath": names.PATH_CA_BUNDLE, "readOnly": True},),
    )
