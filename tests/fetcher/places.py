"""One place of each kind that models come from, each a real server or a folder, all with the same handles for tests."""

import atexit
import hashlib
import json
import shutil
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar

from modelyard.contract import names
from tests.fetcher.conftest import Pod
from tests.support.certificates import Certificates, make_certificates
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.file_server import FileServer, running
from tests.support.model_hub import GATED, REPOSITORY, ModelHub
from tests.support.object_store import FORBIDDEN, MODELS, READER, ObjectStore
from tests.support.ports import free_port

ONLY_THE_PROXY_KNOWS = "models.invalid"
"""A host name that no resolver knows (RFC 6761) and that the certificates are for."""

Files = dict[str, bytes]


@cache
def certificates() -> Certificates:
    """A private CA and a certificate for every name that a place is reached by."""
    folder = mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return make_certificates(Path(folder), ("IP:127.0.0.1", "DNS:localhost", f"DNS:{ONLY_THE_PROXY_KNOWS}"))


class Place:
    """A model at one kind of source. What every source must do is a method; the class knows how it is done there."""

    is_fetched: ClassVar[bool] = True
    wrong_secret: ClassVar[dict[str, str]] = {}
    """Keys that the source refuses."""
    after_a_change: ClassVar[str] = ""
    """What a fetch ends with whose source changes in the middle: the "old" model, the "new" one, or a named "error"."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod

    def put(self, files: Files) -> None:
        """The model's content is now this."""
        raise NotImplementedError

    def put_unsafe(self) -> None:
        """The model has a file that would leave its folder."""
        raise NotImplementedError

    def request_what_is_missing(self) -> str:
        """The pod requests something that does not exist. Returns what the error must name."""
        raise NotImplementedError

    def request_what_is_denied(self) -> str:
        """The pod requests something that it may not have. Returns what the error must name."""
        raise NotImplementedError


class Server(Place):
    """A place behind a link that a test can cut, slow down, or let speak TLS."""

    link: FaultyProxy
    right_secret: ClassVar[dict[str, str]]

    def reach(self, address: str) -> None:
        """The pod gets this address, such as https://127.0.0.1:1234."""
        raise NotImplementedError

    def require_secret(self) -> None:
        """The server requires ``right_secret``, and the pod is configured to use a Secret."""
        self.pod.environment[names.ENV_CREDENTIALS_SECRET] = "s3-read"


class S3(Server):
    right_secret: ClassVar = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), READER, strict=True))
    wrong_secret: ClassVar = {"AWS_SECRET_ACCESS_KEY": "a-secret-that-is-wrong"}
    after_a_change = "new"

    def __init__(self, pod: Pod, store: ObjectStore) -> None:
        super().__init__(pod)
        self._store = store
        pod.reads_s3(store.endpoint)

    def reach(self, address: str) -> None:
        self.pod.environment[names.ENV_S3_ENDPOINT] = address

    def put(self, files: Files) -> None:
        for name, content in files.items():
            self._store.put(f"model/{name}", content)

    def put_unsafe(self) -> None:
        self._store.put("model/a\tb", b"")

    def request_what_is_missing(self) -> str:
        self.pod.environment[names.ENV_MODEL_URI] = f"s3://{MODELS}/absent"
        return "'absent'"

    def request_what_is_denied(self) -> str:
        self.pod.environment[names.ENV_MODEL_URI] = f"s3://{FORBIDDEN}/model"
        return f"s3://{FORBIDDEN}/model"


class Hub(Server):
    right_secret: ClassVar = {"HF_TOKEN": "hf_the-right-token"}
    wrong_secret: ClassVar = {"HF_TOKEN": "hf_a-token-that-is-wrong"}
    after_a_change = "old"  # a commit never changes

    def __init__(self, pod: Pod, hub: ModelHub) -> None:
        super().__init__(pod)
        self.hub = hub
        pod.environment[names.ENV_MODEL_URI] = f"hf://{REPOSITORY}"

    def reach(self, address: str) -> None:
        self.pod.environment[names.ENV_HF_ENDPOINT] = address
        self.hub.cdn = address.replace("127.0.0.1", "localhost")

    def put(self, files: Files) -> None:
        self.hub.commit(files)

    def put_unsafe(self) -> None:
        self.hub.commit({"../outside": b""})

    def request_what_is_missing(self) -> str:
        self.pod.environment[names.ENV_MODEL_URI] = "hf://org/absent"
        return "'org/absent'"

    def request_what_is_denied(self) -> str:
        self.pod.environment[names.ENV_MODEL_URI] = f"hf://{GATED}"
        return GATED

    def require_secret(self) -> None:
        super().require_secret()
        self.hub.token = self.right_secret["HF_TOKEN"]


class Web(Server):
    """A web server with a manifest: https is never without TLS, nor without a SHA-256."""

    right_secret: ClassVar = {"HTTPS_BEARER_TOKEN": "the-right-token"}
    wrong_secret: ClassVar = {"HTTPS_BEARER_TOKEN": "a-token-that-is-wrong"}
    after_a_change = "error"  # the SHA-256 allows nothing but the old content

    def __init__(self, pod: Pod, server: FileServer) -> None:
        super().__init__(pod)
        self.server = server
        pod.environment[names.ENV_CA_BUNDLE] = str(certificates().ca)

    def reach(self, address: str) -> None:
        self.pod.environment[names.ENV_MODEL_URI] = f"{address}/model/manifest.json"

    def put(self, files: Files) -> None:
        self._put_manifest(files)
        self.server.files |= {f"/model/{name}": content for name, content in files.items()}

    def put_unsafe(self) -> None:
        self._put_manifest({"../outside": b""})

    def request_what_is_missing(self) -> str:
        self.pod.environment[names.ENV_MODEL_URI] += "/absent/manifest.json"
        return "/absent/manifest.json"

    def request_what_is_denied(self) -> str:
        self.server.statuses["/model/manifest.json"] = 403
        return "/model/manifest.json"

    def require_secret(self) -> None:
        super().require_secret()
        self.server.required_authorization = f"Bearer {self.right_secret['HTTPS_BEARER_TOKEN']}"

    def _put_manifest(self, files: Files) -> None:
        listed = [
            {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        ]
        manifest = json.dumps({"files": listed}).encode()
        self.server.files["/model/manifest.json"] = manifest
        self.pod.environment[names.ENV_HTTPS_SHA256] = hashlib.sha256(manifest).hexdigest()


class Claim(Place):
    """A folder that stands for the mounted volume."""

    is_fetched = False

    def __init__(self, pod: Pod, volume: Path) -> None:
        super().__init__(pod)
        self.volume = volume
        self.folder = volume / "teams" / "model"
        self.folder.mkdir(parents=True)
        pod.environment |= {names.ENV_CLAIM: str(volume), names.ENV_MODEL_URI: "pvc://models/teams/model"}
        shutil.rmtree(pod.cache)  # such a pod has none

    def put(self, files: Files) -> None:
        for name, content in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def put_unsafe(self) -> None:
        (self.folder / "weights").symlink_to("../../elsewhere")

    def request_what_is_missing(self) -> str:
        self.pod.environment[names.ENV_MODEL_URI] = "pvc://models/teams/absent"
        return "'teams' in claim 'models' does not contain 'absent'"

    def request_what_is_denied(self) -> str:
        (self.folder / "weights").write_bytes(b"")
        (self.folder / "weights").chmod(0)
        return "'teams/model/weights' in claim 'models'"


PLACES: dict[str, type[Place]] = {"s3": S3, "hf": Hub, "https": Web, "pvc": Claim}
"""By scheme. A new source gets a class here, and test_every_source.py then covers it like all others."""

FETCHED = [scheme for scheme, place in PLACES.items() if place.is_fetched]


def server_tls() -> ssl.SSLContext:
    """What a server with a certificate of the private CA speaks."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates().certificate, certificates().key)
    return tls


@contextmanager
def opened(place: type[Place], pod: Pod, store: ObjectStore | None, *, with_tls: bool = False) -> Iterator[Place]:
    """The place with its server, which the pod reaches through a link; ``store`` is there for S3."""
    with ExitStack() as stack:
        if place is Claim:
            yield Claim(pod, Path(stack.enter_context(_folder())))
            return
        made: Server
        if place is S3:
            assert store
            made, port = S3(pod, store), store.port
        else:
            server = ModelHub() if place is Hub else FileServer()
            stack.enter_context(running(server))
            made = Hub(pod, server) if isinstance(server, ModelHub) else Web(pod, server)
            port = server.port
        tls = server_tls() if with_tls or place is Web else None
        made.link = stack.enter_context(faulty_proxy(port, tls))
        made.reach(made.link.endpoint)
        yield made


@contextmanager
def _folder() -> Iterator[str]:
    folder = mkdtemp()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def unused_address(scheme: str) -> str:
    """Where nothing listens."""
    return f"{'https' if scheme == 'https' else 'http'}://127.0.0.1:{free_port()}"
