"""The static server: nginx on the loopback, plain and over TLS, fast and as slow as a connection to a far S3 is."""

import getpass
import os
import string
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from bench.fetch import access_log
from bench.fetch.access_log import Served
from bench.fetch.model import PREFIX, Model
from bench.fetch.places import Place
from e2e.cluster.debian import library_environment
from tests.support.background_process import BackgroundProcess
from tests.support.certificates import Certificates
from tests.support.eventually import eventually
from tests.support.ports import free_port

SLOW_BYTES_PER_SECOND = 90_000 * 1024
"""Of each connection. What one to S3 gives is 80-100 MB/s (AWS, "Performance guidelines for Amazon S3")."""
SLOW_FIRST_BYTE_S = 0.03
_ANY_KEY = ("any", "any-secret")
"""It does not look at signatures."""


class _Configuration(string.Template):
    """nginx's own variables begin with a dollar."""

    delimiter = "@"


@dataclass(frozen=True)
class Nginx:
    """A running server of some buckets, each with one model."""

    buckets: Mapping[str, Model]
    folder: Path
    ca: Path
    ports: Mapping[str, int]

    def place(self, bucket: str, *, tls: bool, slow: bool = False) -> Place:
        port = self.ports[f"{'slow_' if slow else ''}{'tls' if tls else 'plain'}_port"]
        endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        return Place(endpoint, bucket, _ANY_KEY, self.buckets[bucket], self.ca if tls else None)

    @contextmanager
    def watched(self) -> Iterator[list[Served]]:
        """The list holds, after the context, every request that was begun in it."""
        log = self.folder / "access.log"
        before_bytes = log.stat().st_size
        requests: list[Served] = []
        yield requests
        eventually(self.is_idle)  # a request is logged when its connection has no more to send, or is gone
        with log.open() as file:
            file.seek(before_bytes)
            requests += access_log.parse(file.read())

    def is_idle(self) -> bool:
        """Whether it runs, and no connection is open but that of this request."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['status_port']}/", timeout=10) as answer:
                text: str = answer.read().decode()
        except OSError:
            return False
        return "Active connections: 1 " in text


@contextmanager
def nginx(program: Path, folder: Path, buckets: Mapping[str, Model], certificates: Certificates) -> Iterator[Nginx]:
    """Serves each bucket's model. ``program`` is the root that nginx was unpacked in; ``folder`` has the models.

    A model of the bucket `b` lies at ``folder/b/PREFIX``.
    """
    (folder / "listings").mkdir()
    for bucket, model in buckets.items():
        (folder / "listings" / f"{bucket}.xml").write_text(listing(bucket, model))
    names = ("plain_port", "tls_port", "slow_plain_port", "slow_tls_port", "status_port")
    ports = {name: free_port() for name in names}
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(program, folder, buckets, certificates, ports))
    (folder / "access.log").touch()
    command = (program / "usr/sbin/nginx", "-p", folder, "-c", configuration, "-e", "stderr")
    with BackgroundProcess(command, os.environ | library_environment(program)) as process:
        server = Nginx(buckets, folder, certificates.ca, ports)
        try:
            eventually(server.is_idle, within_s=10)
        except AssertionError as error:
            error.add_note(f"nginx logged:\n{process.output[-4000:]}")
            raise
        yield server


def _configuration(
    program: Path, folder: Path, buckets: Mapping[str, Model], certificates: Certificates, ports: Mapping[str, int]
) -> str:
    checksums = [
        f'        "HEAD /{bucket}/{PREFIX}/{file.name}" "{file.crc64nvme}";'
        for bucket, model in buckets.items()
        for file in model.files
    ]
    values = {
        "modules": program / "usr/lib/nginx/modules",
        "user": f"user {getpass.getuser()};" if os.geteuid() == 0 else "",  # others cannot change theirs
        "folder": folder,
        "root": folder,
        "certificate": certificates.certificate,
        "key": certificates.key,
        "checksums": "\n".join(checksums),
        "bytes_per_second": SLOW_BYTES_PER_SECOND,
        "first_byte_s": SLOW_FIRST_BYTE_S,
        **ports,
    }
    return _Configuration((Path(__file__).parent / "nginx.conf").read_text()).substitute(values)


def listing(bucket: str, model: Model) -> str:
    """The answer to ListObjectsV2, in S3's order. The ETags are nginx's own: it compares them in later requests."""
    contents = []
    for file in sorted(model.files, key=lambda file: file.name):
        modified_s = int((model.folder / file.name).stat().st_mtime)
        etag = escape(f'"{modified_s:x}-{file.size_bytes:x}"', {'"': "&quot;"})
        contents.append(
            f"<Contents><Key>{PREFIX}/{file.name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{etag}</ETag><Size>{file.size_bytes}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix>{PREFIX}/</Prefix><KeyCount>{len(contents)}</KeyCount><MaxKeys>10000</MaxKeys>"
        f"<IsTruncated>false</IsTruncated>{''.join(contents)}</ListBucketResult>"
    )
