"""What the agent is told, by environment variables (their names are in modelyard.contract.names)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason
from modelyard.node.cache.budget import Limits
from modelyard.node.cache.sizes import SizeOrShare

BUDGET = SizeOrShare(share=Fraction(8, 10))
RESERVE = SizeOrShare(share=Fraction(1, 10))
GUARANTEED_SHARE = SizeOrShare(share=Fraction(1, 10))
LEFTOVER_AGE_S = 3600.0
CHECK_INTERVAL_S = 7 * 24 * 3600.0
KUBELET_FOLDER = "/var/lib/kubelet"
SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"

_HOST = re.compile(r"[A-Za-z0-9.:_-]+")


@dataclass(frozen=True)
class Configuration:
    """One node's agent. Shares are of the file system, the guaranteed one of the budget."""

    node: str
    cache: Path
    api_server: str
    budget: SizeOrShare = BUDGET
    reserve: SizeOrShare = RESERVE
    guaranteed_share: SizeOrShare = GUARANTEED_SHARE
    leftover_age_s: float = LEFTOVER_AGE_S
    check_interval_s: float = CHECK_INTERVAL_S
    kubelet_folder: Path = Path(KUBELET_FOLDER)
    service_account_folder: Path = Path(SERVICE_ACCOUNT_FOLDER)
    port: int = names.NODE_PORT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Reads and checks the variables. Raises InvalidError naming the first one that is wrong."""
        said = {name: value for name, value in environment.items() if value}
        return cls(
            node=_required(said, names.ENV_NODE_NAME),
            cache=_folder(said, names.ENV_NODE_CACHE_PATH, None),
            api_server=_api_server(said),
            budget=_size(said, names.ENV_NODE_BUDGET, BUDGET),
            reserve=_size(said, names.ENV_NODE_RESERVE, RESERVE),
            guaranteed_share=_size(said, names.ENV_NODE_GUARANTEED_SHARE, GUARANTEED_SHARE),
            leftover_age_s=_seconds(said, names.ENV_NODE_LEFTOVER_AGE_S, LEFTOVER_AGE_S),
            check_interval_s=_seconds(said, names.ENV_NODE_CHECK_INTERVAL_S, CHECK_INTERVAL_S),
            kubelet_folder=_folder(said, names.ENV_NODE_KUBELET_FOLDER, KUBELET_FOLDER),
            service_account_folder=_folder(said, names.ENV_NODE_SERVICE_ACCOUNT_FOLDER, SERVICE_ACCOUNT_FOLDER),
            port=_port(said),
        )

    @property
    def pods_folder(self) -> Path:
        """Below it are the mount points of every pod's volumes."""
        return self.kubelet_folder / "pods"

    def limits(self, capacity_bytes: int) -> Limits:
        """The limits in bytes, on a file system of this size."""
        budget_bytes = self.budget.of(capacity_bytes)
        return Limits(
            budget_bytes=budget_bytes,
            reserve_bytes=self.reserve.of(capacity_bytes),
            guaranteed_bytes=self.guaranteed_share.of(budget_bytes),
            capacity_bytes=capacity_bytes,
        )


def _invalid(name: str, problem: str) -> InvalidError:
    return InvalidError(Reason.INVALID_CONFIGURATION, f"the environment variable {name} {problem}")


def _required(said: Mapping[str, str], name: str) -> str:
    if name not in said:
        raise _invalid(name, "is not set")
    return said[name]


def _folder(said: Mapping[str, str], name: str, default: str | None) -> Path:
    text = said.get(name, default) or _required(said, name)
    folder = Path(text)
    if not folder.is_absolute() or ".." in folder.parts:
        raise _invalid(name, f"is {text!r}; it has to be an absolute path")
    return folder


def _size(said: Mapping[str, str], name: str, default: SizeOrShare) -> SizeOrShare:
    try:
        return SizeOrShare.parse(said[name]) if name in said else default
    except ValueError as error:
        raise _invalid(name, f"is wrong: {error}") from error


def _seconds(said: Mapping[str, str], name: str, default: float) -> float:
    text = said.get(name, str(default))
    try:
        seconds = float(text)
    except ValueError as error:
        raise _invalid(name, f"is {text!r}, which is no number of seconds") from error
    if not 0 < seconds < 10**9:
        raise _invalid(name, f"is {text!r}; it has to be more than 0")
    return seconds


def _port(said: Mapping[str, str]) -> int:
    text = said.get(names.ENV_NODE_PORT, str(names.NODE_PORT))
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise _invalid(names.ENV_NODE_PORT, f"is {text!r}, which is no port")
    return int(text)


def _api_server(said: Mapping[str, str]) -> str:
    """Where every pod finds the API server: the kubelet sets both variables."""
    host, port = (_required(said, f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not _HOST.fullmatch(host) or not port.isdecimal():
        raise _invalid("KUBERNETES_SERVICE_HOST", "is no host")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
