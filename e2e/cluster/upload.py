"""`upload.py KUBECTL KUBECONFIG NAMESPACE BUCKET PREFIX=FOLDER...`: folders into the bucket of the cluster's S3 server.

Runs in the project's Python environment. The server is reached through the API server, as any engine's network allows;
the checksums are those that boto3 stores by default, as for any user's upload.
"""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError

KEYS = "s3-write"
PORT = 8333
FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
PODS = ("pods", "--selector=app.kubernetes.io/name=s3")
LOST = (BotoConnectionError, HTTPClientError, S3UploadFailedError)
"""A forwarding ends for good with the first connection that the server does not take."""
ATTEMPTS = 3
# Few streams: the server keeps in memory what is under way.
TRANSFER = TransferConfig(max_concurrency=2)


def main(arguments: Sequence[str]) -> None:
    """Make the bucket where it is missing, and upload every file of every folder."""
    program, kubeconfig, namespace, bucket, *folders = arguments
    kubectl = (program, f"--kubeconfig={kubeconfig}", f"--namespace={namespace}")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _forwarded(kubectl) as endpoint:
                _upload(client_of(endpoint, _keys(kubectl)), bucket, folders)
        except LOST as error:
            if attempt == ATTEMPTS:
                raise
            print(f"The server was lost ({error}): waiting for it, then once more", flush=True)
            subprocess.run((*kubectl, "get", *PODS, "--output=wide"), check=True)
            subprocess.run((*kubectl, "logs", "--previous", "--tail=20", *PODS[1:]), check=False)
            subprocess.run((*kubectl, "rollout", "status", "deployment/s3", "--timeout=120s"), check=True)
        else:
            return


def _upload(client: Any, bucket: str, folders: Sequence[str]) -> None:
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=bucket)
    for prefix, folder in (argument.split("=", 1) for argument in folders):
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            key = f"{prefix}/{file.relative_to(folder)}"
            print(f"{file} -> s3://{bucket}/{key}", flush=True)
            client.upload_file(str(file), bucket, key, Config=TRANSFER)


@contextmanager
def _forwarded(kubectl: tuple[str, ...]) -> Iterator[str]:
    """A URL on loopback that leads to the server while the context is open."""
    command = (*kubectl, "port-forward", "service/s3", f":{PORT}", "--address=127.0.0.1")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        try:
            assert forwarding.stdout is not None
            match = FORWARDING.match(forwarding.stdout.readline())
            if not match:
                raise SystemExit("kubectl port-forward to service/s3 ended at once; its own words are above")
            yield f"http://127.0.0.1:{match[1]}"
        finally:
            forwarding.terminate()


def _keys(kubectl: tuple[str, ...]) -> dict[str, str]:
    ended = subprocess.run((*kubectl, "get", "secret", KEYS, "--output=json"), capture_output=True, check=True)
    return {name: base64.b64decode(value).decode() for name, value in json.loads(ended.stdout)["data"].items()}


def client_of(endpoint: str, keys: Mapping[str, str]) -> Any:
    """An S3 client of a store at ``endpoint``; ``keys`` are as in the Secret of a service."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
