"""The agent's configuration, from environment variables (their names are in modelyard.contract.names)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

from modelyard.contract import names
from modelyard.contract.environment import Environment, invalid
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
        read = Environment(environment)
        return cls(
            node=read.required(names.ENV_NODE_NAME),
            cache=_folder(names.ENV_NODE_CACHE_PATH, read.required(names.ENV_NODE_CACHE_PATH)),
            api_server=_api_server(read),
            budget=read.parsed(names.ENV_NODE_BUDGET, SizeOrShare.parse, BUDGET),
            reserve=read.parsed(names.ENV_NODE_RESERVE, SizeOrShare.parse, RESERVE),
            guaranteed_share=read.parsed(names.ENV_NODE_GUARANTEED_SHARE, SizeOrShare.parse, GUARANTEED_SHARE),
            leftover_age_s=read.parsed(names.ENV_NODE_LEFTOVER_AGE_S, _seconds, LEFTOVER_AGE_S),
            check_interval_s=read.parsed(names.ENV_NODE_CHECK_INTERVAL_S, _seconds, CHECK_INTERVAL_S),
            kubelet_folder=_folder_of(read, names.ENV_NODE_KUBELET_FOLDER, KUBELET_FOLDER),
            service_account_folder=_folder_of(read, names.ENV_NODE_SERVICE_ACCOUNT_FOLDER, SERVICE_ACCOUNT_FOLDER),
            port=read.port(names.ENV_NODE_PORT, names.NODE_PORT),
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


def _folder(name: str, text: str) -> Path:
    folder = Path(text)
    if not folder.is_absolute() or ".." in folder.parts:
        raise invalid(name, f"is {text!r}; it must be an absolute path")
    return folder


def _folder_of(read: Environment, name: str, default: str) -> Path:
    return _folder(name, read.text(name) or default)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a number of seconds") from error
    if not 0 < seconds < 10**9:
        raise ValueError(f"{text!r} must be greater than 0")
    return seconds


def _api_server(read: Environment) -> str:
    """Where every pod finds the API server: the kubelet sets both variables."""
    host, port = (read.required(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not _HOST.fullmatch(host) or not port.isdecimal():
        raise invalid("KUBERNETES_SERVICE_HOST", "is not a host")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
