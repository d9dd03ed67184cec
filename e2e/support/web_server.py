"""A web server in the cluster that gives a folder's files over TLS, with a certificate of a private CA."""

import base64
import hashlib
import json
from pathlib import Path

from e2e.cluster.images import reference
from e2e.support.kubectl import Kubectl, Object
from tests.support.certificates import make_certificates

NAME = "files"
PORT = 8443
LABELS = {"app.kubernetes.io/name": NAME}
PROGRAM = f"""
import http.server, ssl
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server = http.server.ThreadingHTTPServer(("", {PORT}), http.server.SimpleHTTPRequestHandler)
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
"""Python's own server: it knows no ranges, as many a simple server."""


def manifest_of(folder: Path) -> bytes:
    """The manifest of a model's folder."""
    files = [
        {"path": file.name, "size": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        for file in sorted(folder.iterdir())
    ]
    return json.dumps({"files": files}).encode()


def serve(kubectl: Kubectl, model: Path, folder: Path) -> str:
    """Serves the small files of ``model`` and their manifest in the namespace; certificates are made in ``folder``.

    Returns the manifest's address. The CA's certificate is in ConfigMap ``ca``, key ``ca.crt``.
    """
    host = f"{NAME}.{kubectl.namespace}.svc"
    made = make_certificates(folder, (f"DNS:{host}",))
    contents = {file.name: file.read_bytes() for file in model.iterdir()} | {"manifest.json": manifest_of(model)}
    kubectl.apply(
        _config_map("ca", {"ca.crt": made.ca.read_bytes()}),
        _config_map(NAME, contents),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": NAME},
            "data": {"tls.crt": _text(made.certificate.read_bytes()), "tls.key": _text(made.key.read_bytes())},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME},
            "spec": {"selector": LABELS, "ports": [{"port": 443, "targetPort": PORT}]},
        },
        _pod(),
    )
    kubectl.wait(f"pod/{NAME}", "condition=Ready", 120)
    return f"https://{host}/manifest.json"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _config_map(name: str, contents: dict[str, bytes]) -> Object:
    data = {key: _text(content) for key, content in contents.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "binaryData": data}


def _pod() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": LABELS},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": NAME,
                    "image": reference("fetch"),  # it has Python, and the nodes have it
                    "command": ["python3", "-c", PROGRAM],
                    "workingDir": "/files",
                    "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [
                        {"name": "files", "mountPath": "/files", "readOnly": True},
                        {"name": "tls", "mountPath": "/tls", "readOnly": True},
                    ],
                }
            ],
            "terminationGracePeriodSeconds": 1,
            "volumes": [
                {"name": "files", "configMap": {"name": NAME}},
                {"name": "tls", "secret": {"secretName": NAME, "defaultMode": 0o440}},
            ],
        },
    }
