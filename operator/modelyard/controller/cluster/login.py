"""Credentials for the API server, from the pod or a kubeconfig; also for other client libraries."""

import os
from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config


class LoginError(Exception):
    """There are no credentials for an API server."""


@dataclass(frozen=True)
class Credentials:
    """How to reach the API server, for another client of it. Paths are of PEM files; ``token`` has no prefix."""

    server: str
    ca_path: str | None
    token: str | None
    certificate_path: str | None
    private_key_path: str | None
    verify_tls: bool


async def login(kubeconfig: Path | None = None) -> Configuration:
    """Credentials from ``kubeconfig``, else of the pod that we run in, else of the user's kubeconfig.

    Raises LoginError.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)
        else:
            file = str(kubeconfig) if kubeconfig else None
            await load_kube_config(config_file=file, client_configuration=configuration, persist_config=False)
    except (ConfigException, OSError) as error:
        raise LoginError(
            f"no credentials for an API server: {error}. Run in a pod with a service account, "
            "or point KUBECONFIG at a kubeconfig file."
        ) from error
    return configuration


async def credentials(configuration: Configuration) -> Credentials:
    """The credentials as they are now; a pod's token is read anew when it is older than a minute."""
    header = await configuration.get_api_key_with_prefix("BearerToken") or ""
    return Credentials(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        token=header.split(" ", 1)[-1].strip() or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        verify_tls=configuration.verify_ssl,
    )
