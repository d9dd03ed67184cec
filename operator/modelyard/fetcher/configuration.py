"""The fetcher's configuration, from environment variables that carry no secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from modelyard.contract import names
from modelyard.contract.cache_layout import CacheLayout
from modelyard.contract.digests import REVISION_KEY
from modelyard.contract.environment import Environment

ADDRESSING_STYLES = ("auto", "path", "virtual")
CACHE_MEDIUMS = (names.MEDIUM_EPHEMERAL, names.MEDIUM_NODE_LOCAL)


@dataclass(frozen=True)
class Configuration:
    """One fetch. ``None`` means unset: the source's own default holds."""

    uri: str
    pod_uid: str
    expected_digest: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_addressing_style: str = "auto"
    hf_endpoint: str | None = None
    https_sha256: str | None = None
    cache_medium: str = names.MEDIUM_EPHEMERAL
    revision_key: str | None = None
    compile_key: str | None = None
    credentials_secret: str | None = None
    ca_bundle: Path | None = None
    ca_bundle_config_map: str | None = None
    credentials_folder: Path = Path(names.PATH_CREDENTIALS)
    cache: Path = Path(names.PATH_CACHE)
    claim: Path = Path(names.PATH_CLAIM)
    revision_folder: Path = Path(names.PATH_REVISION)
    launcher_folder: Path = Path(names.PATH_LAUNCHER_FOLDER)
    state_port: int = names.FETCH_STATE_PORT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Reads and checks the variables. Raises InvalidError naming the first one that is wrong."""
        read = Environment(environment)
        layout = CacheLayout(read.path(names.ENV_CACHE, names.PATH_CACHE))
        read.parsed(names.ENV_POD_UID, layout.link, None)
        read.parsed(names.ENV_MODEL_DIGEST, layout.entry, None)
        read.parsed(names.ENV_COMPILE_KEY, layout.compile_cache, None)
        ca_bundle = read.text(names.ENV_CA_BUNDLE)
        return cls(
            uri=read.required(names.ENV_MODEL_URI),
            pod_uid=read.required(names.ENV_POD_UID),
            expected_digest=read.text(names.ENV_MODEL_DIGEST),
            s3_endpoint=read.text(names.ENV_S3_ENDPOINT),
            s3_region=read.text(names.ENV_S3_REGION),
            s3_addressing_style=read.choice(names.ENV_S3_ADDRESSING_STYLE, ADDRESSING_STYLES, "auto"),
            hf_endpoint=read.text(names.ENV_HF_ENDPOINT),
            https_sha256=read.text(names.ENV_HTTPS_SHA256),
            cache_medium=read.choice(names.ENV_CACHE_MEDIUM, CACHE_MEDIUMS, names.MEDIUM_EPHEMERAL),
            revision_key=read.parsed(names.ENV_REVISION_KEY, _revision_key, None),
            compile_key=read.text(names.ENV_COMPILE_KEY),
            credentials_secret=read.text(names.ENV_CREDENTIALS_SECRET),
            ca_bundle=Path(ca_bundle) if ca_bundle else None,
            ca_bundle_config_map=read.text(names.ENV_CA_BUNDLE_CONFIG_MAP),
            credentials_folder=read.path(names.ENV_CREDENTIALS_FOLDER, names.PATH_CREDENTIALS),
            cache=layout.root,
            claim=read.path(names.ENV_CLAIM, names.PATH_CLAIM),
            revision_folder=read.path(names.ENV_REVISION_FOLDER, names.PATH_REVISION),
            launcher_folder=read.path(names.ENV_LAUNCHER_FOLDER, names.PATH_LAUNCHER_FOLDER),
            state_port=read.port(names.ENV_STATE_PORT, names.FETCH_STATE_PORT),
        )


def _revision_key(text: str) -> str:
    if not REVISION_KEY.fullmatch(text):
        raise ValueError(f"{text!r} is not 16 hexadecimal digits")
    return text
