"""What the fetcher is told, by environment variables that carry no secret."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from modelyard.contract import names
from modelyard.contract.cache_layout import CacheLayout
from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason

Text = TypeVar("Text", str, str | None)

ADDRESSING_STYLES = ("auto", "path", "virtual")
CACHE_MEDIUMS = (names.MEDIUM_EPHEMERAL, names.MEDIUM_NODE_LOCAL)

_REVISION_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Configuration:
    """One fetch. ``None`` means: not said, so the source's own default holds."""

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
        said = {name: value for name, value in environment.items() if value}
        ca_bundle = said.get(names.ENV_CA_BUNDLE)
        layout = CacheLayout(Path(said.get(names.ENV_CACHE, names.PATH_CACHE)))
        return cls(
            uri=_required(said, names.ENV_MODEL_URI),
            pod_uid=_path_safe(names.ENV_POD_UID, _required(said, names.ENV_POD_UID), layout.link),
            expected_digest=_path_safe(names.ENV_MODEL_DIGEST, said.get(names.ENV_MODEL_DIGEST), layout.entry),
            s3_endpoint=said.get(names.ENV_S3_ENDPOINT),
            s3_region=said.get(names.ENV_S3_REGION),
            s3_addressing_style=_addressing_style(said),
            hf_endpoint=said.get(names.ENV_HF_ENDPOINT),
            https_sha256=said.get(names.ENV_HTTPS_SHA256),
            cache_medium=_cache_medium(said),
            revision_key=_path_safe(names.ENV_REVISION_KEY, said.get(names.ENV_REVISION_KEY), _revision_file),
            compile_key=_path_safe(names.ENV_COMPILE_KEY, said.get(names.ENV_COMPILE_KEY), layout.compile_cache),
            credentials_secret=said.get(names.ENV_CREDENTIALS_SECRET),
            ca_bundle=Path(ca_bundle) if ca_bundle else None,
            ca_bundle_config_map=said.get(names.ENV_CA_BUNDLE_CONFIG_MAP),
            credentials_folder=Path(said.get(names.ENV_CREDENTIALS_FOLDER, names.PATH_CREDENTIALS)),
            cache=layout.root,
            claim=Path(said.get(names.ENV_CLAIM, names.PATH_CLAIM)),
            revision_folder=Path(said.get(names.ENV_REVISION_FOLDER, names.PATH_REVISION)),
            launcher_folder=Path(said.get(names.ENV_LAUNCHER_FOLDER, names.PATH_LAUNCHER_FOLDER)),
            state_port=_port(said),
        )


def _invalid(name: str, problem: str) -> InvalidError:
    return InvalidError(Reason.INVALID_CONFIGURATION, f"the environment variable {name} {problem}")


def _required(said: Mapping[str, str], name: str) -> str:
    if name not in said:
        raise _invalid(name, "is not set")
    return said[name]


def _path_safe(name: str, value: Text, path_of: Callable[[str], Path]) -> Text:
    """The value, if it may become part of a path: ``path_of`` raises ValueError where not."""
    if value is not None:
        try:
            path_of(value)
        except ValueError as error:
            raise _invalid(name, f"is wrong: {error}") from error
    return value


def _revision_file(key: str) -> Path:
    if not _REVISION_KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not 16 hexadecimal digits")
    return Path(key)


def _cache_medium(said: Mapping[str, str]) -> str:
    medium = said.get(names.ENV_CACHE_MEDIUM, names.MEDIUM_EPHEMERAL)
    if medium not in CACHE_MEDIUMS:
        raise _invalid(names.ENV_CACHE_MEDIUM, f"is {medium!r}; it may be {', '.join(CACHE_MEDIUMS)}")
    return medium


def _addressing_style(said: Mapping[str, str]) -> str:
    style = said.get(names.ENV_S3_ADDRESSING_STYLE, "auto")
    if style not in ADDRESSING_STYLES:
        raise _invalid(names.ENV_S3_ADDRESSING_STYLE, f"is {style!r}; it may be {', '.join(ADDRESSING_STYLES)}")
    return style


def _port(said: Mapping[str, str]) -> int:
    port = said.get(names.ENV_STATE_PORT, str(names.FETCH_STATE_PORT))
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise _invalid(names.ENV_STATE_PORT, f"is {port!r}, which is no port")
    return int(port)
