"""An S3 server of a test's own in its namespace: one that may be filled, secured and taken away."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from e2e.cluster.images import reference
from e2e.cluster.upload import client_of
from e2e.support.kubectl import Kubectl, Object
from e2e.support.objects import config_map, in_front_of, pod, run, secret
from e2e.support.port_forward import port_forward
from tests.support.certificates import make_certificates

NAME = "store"
HTTP, HTTPS = 8333, 8334
HTTP_URL, HTTPS_URL = f"http://{NAME}:{HTTP}", f"https://{NAME}:{HTTPS}"
CA = "store-ca"
KEYS = {"AWS_ACCESS_KEY_ID": "admin", "AWS_SECRET_ACCESS_KEY": "made-up-for-this-test"}
SECRET = "store-keys"
"""Secret in the namespace whose keys may do everything with every bucket."""
LISTING_KEYS = {"AWS_ACCESS_KEY_ID": "lists", "AWS_SECRET_ACCESS_KEY": "made-up-as-well"}
"""Keys that may list every bucket and read no object."""


def _identity(keys: Mapping[str, str], *actions: str) -> Object:
    credentials = {"accessKey": keys["AWS_ACCESS_KEY_ID"], "secretKey": keys["AWS_SECRET_ACCESS_KEY"]}
    return {"name": keys["AWS_ACCESS_KEY_ID"], "credentials": [credentials], "actions": list(actions)}


_IDENTITIES = {
    "identities": [_identity(KEYS, "Admin", "Read", "List", "Write"), _identity(LISTING_KEYS, "List")],
}


class Store:
    """The server in a namespace that start_store() has put one into."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    @contextmanager
    def _client(self) -> Iterator[Any]:
        with port_forward(self._kubectl, NAME, HTTP) as url:
            yield client_of(url, KEYS)

    def fill(self, bucket: str, prefix: str, files: Mapping[str, bytes]) -> None:
        """Make the bucket where it is missing, and put the files below the prefix."""
        with self._client() as client:
            if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=bucket)
            for name, content in files.items():
                client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)

    def files(self, bucket: str, prefix: str) -> dict[str, bytes]:
        """What lies below the prefix."""
        with self._client() as client:
            listed = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")["Contents"]
            keys = [item["Key"] for item in listed]
            return {
                key.removeprefix(f"{prefix}/"): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys
            }


def start_store(kubectl: Kubectl, folder: Path) -> Store:
    """Run the server, with a certificate of a private CA on its second port; ``folder`` is for the CA's files.

    Pods of the namespace reach it at HTTP_URL and HTTPS_URL. The ConfigMap ``CA`` there has the CA's certificate.
    """
    made = make_certificates(folder, (f"DNS:{NAME}",))
    files = {
        "identities.json": json.dumps(_IDENTITIES),
        "tls.crt": made.certificate.read_text(),
        "tls.key": made.key.read_text(),
    }
    kubectl.apply(
        secret(SECRET, KEYS),
        secret("store-files", files),
        config_map(CA, {"ca.crt": made.ca.read_text()}),
        in_front_of(NAME, NAME, HTTP, HTTPS),
    )
    run(kubectl, _pod())
    return Store(kubectl)


def _pod() -> Object:
    args = [
        "server",
        "-dir=/data",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=16",
        "-s3",
        "-s3.ip.bind=0.0.0.0",
        "-s3.config=/files/identities.json",
        f"-s3.port={HTTP}",
        f"-s3.port.https={HTTPS}",
        "-s3.cert.file=/files/tls.crt",
        "-s3.key.file=/files/tls.key",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    body = pod(
        NAME,
        reference("s3"),
        args=args,
        env=[{"name": "GOMEMLIMIT", "value": "128MiB"}],
        readinessProbe={"httpGet": {"path": "/healthz", "port": HTTP}, "periodSeconds": 1},
        volumeMounts=[{"name": name, "mountPath": f"/{name}"} for name in ("data", "tmp", "files")],
    )
    empty: list[Object] = [{"name": name, "emptyDir": {}} for name in ("data", "tmp")]
    body["spec"]["volumes"] = [*empty, {"name": "files", "secret": {"secretName": "store-files"}}]
    return body
