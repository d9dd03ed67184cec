"""The servers of a run, filled: nginx always, SeaweedFS where a case needs it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.fetch.model import PREFIX, Model, large_model, tiny_files
from bench.fetch.nginx import Nginx, nginx
from bench.fetch.options import InvalidOptionError, Options
from bench.fetch.places import Place
from tests.support.certificates import Certificates, make_certificates
from tests.support.object_store import MODELS, READER, ObjectStore, object_store

LARGE, TINY = MODELS, "tiny"
_TINY_FILES = 500


@dataclass(frozen=True)
class Servers:
    """Every place that a case may name; SeaweedFS' are there only when it was requested."""

    nginx: Nginx
    places: dict[str, Place]


@contextmanager
def servers(options: Options, *, seaweedfs: bool) -> Iterator[Servers]:
    """Makes the model, and serves it on the loopback until the context ends. Nothing is left then."""
    _require_space(options, copies=2 if seaweedfs else 1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=options.source_folder)))
        for made in ("certificates", "store"):
            (folder / made).mkdir()
        certificates = make_certificates(folder / "certificates")
        models = {
            LARGE: large_model(folder / LARGE, options.size_bytes),
            TINY: tiny_files(folder / TINY, _TINY_FILES),
        }
        static = stack.enter_context(nginx(options.nginx, folder, models, certificates))
        places = _of_nginx(static)
        if seaweedfs:
            store = stack.enter_context(object_store(folder / "store", certificates))
            places |= _of_seaweedfs(store, models[LARGE], certificates)
        yield Servers(static, places)


def _require_space(options: Options, copies: int) -> None:
    needed_bytes, free_bytes = copies * options.size_bytes * 5 // 4, shutil.disk_usage(options.source_folder).free
    if free_bytes < needed_bytes:
        raise InvalidOptionError(
            f"{options.source_folder}, which the servers serve from, has {free_bytes >> 20} MiB free and needs "
            f"{needed_bytes >> 20}: use a smaller BENCH_SIZE_MB, or let BENCH_SOURCE_FOLDER name another folder"
        )


def _of_nginx(server: Nginx) -> dict[str, Place]:
    return {
        name + suffix: server.place(bucket, tls=bool(suffix), slow=name == "slow")
        for name, bucket in {"nginx": LARGE, "slow": LARGE, "tiny": TINY}.items()
        for suffix in ("", "_tls")
    }


def _of_seaweedfs(store: ObjectStore, model: Model, certificates: Certificates) -> dict[str, Place]:
    for file in model.files:
        store.admin.upload_file(str(model.folder / file.name), MODELS, f"{PREFIX}/{file.name}")
    plain = Place(store.endpoint, MODELS, READER, model)
    return {"seaweedfs": plain, "seaweedfs_tls": plain.over_tls(store.tls_endpoint, certificates.ca)}
