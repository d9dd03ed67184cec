"""What keeps a model from being fetched, with real stores: the cluster's, and one that can be filled and taken away."""

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from e2e.conftest import namespace_for
from e2e.images.standin.tiny_model import write_tiny_model
from e2e.support import counted_store, store
from e2e.support.causes import MOUNT_REFRESHED_S, Act, Cause, Took, applies, record, selected, side_by_side
from e2e.support.kubectl import Kubectl, Object
from e2e.support.objects import config_map, in_front_of, secret
from e2e.support.services import TINY_MODEL_URI, light
from e2e.support.stories import Stories, stories
from tests.support.eventually import eventually

SLOW_BYTES_PER_S = 800_000
UNUSED_PORT = 10
"""Of the store's pod, whose kernel refuses it."""


def _model(
    uri: str = "s3://models/tiny", *, keys: str = store.SECRET, endpoint: str = store.HTTP_URL, ca: str | None = None
) -> Object:
    """``spec.model`` of a model in the test's own store; ``ca`` is the ConfigMap whose certificates are trusted."""
    trusted = {"caBundle": {"configMapName": ca}} if ca else {}
    return {"uri": uri, "credentials": {"secretName": keys}, "s3": {"endpoint": endpoint}, **trusted}


def _with(name: str, model: Object) -> partial[Object]:
    return partial(light, name, model=model)


def _tiny(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in write_tiny_model(folder / "tiny").iterdir()}


def _uploads(bucket: str, prefix: str) -> Act:
    """The cure that is the model's upload."""

    def copy(kubectl: Kubectl) -> None:
        own = store.Store(kubectl)
        own.fill(bucket, prefix, own.files("models", "tiny"))

    return copy


def _gives_ca(name: str) -> Act:
    """The cure that is the store's CA in a ConfigMap of that name."""
    return lambda kubectl: kubectl.apply(config_map(name, kubectl.get("configmap", store.CA)["data"]))


WHILE_UPLOADED = frozenset({"SourceChanged"})
"""A fetch that begins before the last file is there finds more in the end than in the beginning."""
WRONG_SECRET = store.KEYS | {"AWS_SECRET_ACCESS_KEY": "another"}
WRONG_ID = store.KEYS | {"AWS_ACCESS_KEY_ID": "unknown"}
HALF = {"AWS_ACCESS_KEY_ID": store.KEYS["AWS_ACCESS_KEY_ID"]}
DENIED = {
    "uri": "s3://not-for-this-key/tiny",
    "credentials": {"secretName": "s3-read"},
    "s3": {"endpoint": "http://s3.storage.svc:8333"},
}

CAUSES = (
    Cause(
        "a Secret that is not there",
        _with("no-secret", _model(keys="later")),
        "CredentialsMissing",
        ("Secret 'later' does not exist", "AWS_ACCESS_KEY_ID"),
        applies(secret("later", store.KEYS)),
        gone_within_s=MOUNT_REFRESHED_S,
    ),
    Cause(
        "a Secret that lacks a key",
        _with("no-key", _model(keys="half")),
        "CredentialsMissing",
        ("Secret 'half' lacks AWS_SECRET_ACCESS_KEY",),
        applies(secret("half", store.KEYS)),
        before=applies(secret("half", HALF)),
        gone_within_s=MOUNT_REFRESHED_S,
    ),
    Cause(
        "an access key that the store does not know",
        _with("wrong-id", _model(keys="wrong-id")),
        "CredentialsInvalid",
        ("Secret 'wrong-id'", "AWS_ACCESS_KEY_ID is unknown"),
        applies(secret("wrong-id", store.KEYS)),
        before=applies(secret("wrong-id", WRONG_ID)),
        gone_within_s=MOUNT_REFRESHED_S,
    ),
    Cause(
        "a secret key that does not fit",
        _with("wrong-secret", _model(keys="wrong-secret")),
        "CredentialsInvalid",
        ("Secret 'wrong-secret'", "does not belong to AWS_ACCESS_KEY_ID"),
        applies(secret("wrong-secret", store.KEYS)),
        before=applies(secret("wrong-secret", WRONG_SECRET)),
        gone_within_s=MOUNT_REFRESHED_S,
    ),
    Cause(
        "a CA bundle that is not there",
        _with("no-bundle", _model(endpoint=store.HTTPS_URL, ca="ca-later")),
        "CABundleMissing",
        ("ConfigMap 'ca-later'", "'ca.crt'", "spec.model.caBundle"),
        _gives_ca("ca-later"),
        gone_within_s=MOUNT_REFRESHED_S,
    ),
    Cause(
        "a CA bundle that holds no certificate",
        _with("no-pem", _model(endpoint=store.HTTPS_URL, ca="ca-wrong")),
        "CABundleInvalid",
        ("ConfigMap 'ca-wrong'", "PEM"),
        _gives_ca("ca-wrong"),
        before=applies(config_map("ca-wrong", {"ca.crt": "no certificate"})),
        gone_within_s=MOUNT_REFRESHED_S,
    ),
    Cause(
        "an untrusted certificate",
        _with("untrusted", _model(endpoint=store.HTTPS_URL)),
        "CertificateNotTrusted",
        (store.HTTPS_URL, "spec.model.caBundle"),
        applies(_with("untrusted", _model(endpoint=store.HTTPS_URL, ca=store.CA))),
    ),
    Cause(
        "a bucket that the key may not read",
        _with("denied", DENIED),
        "AccessDenied",
        ("not-for-this-key", "Secret 's3-read'", "grant s3:ListBucket"),
        applies(_with("denied", DENIED | {"uri": TINY_MODEL_URI})),
    ),
    Cause(
        "a bucket that is not there",
        _with("no-bucket", _model("s3://later/tiny")),
        "BucketNotFound",
        ("no bucket 'later'", "spec.model.uri"),
        _uploads("later", "tiny"),
        # The bucket is there before what is in it.
        meanwhile=WHILE_UPLOADED | {"ModelNotFound"},
    ),
    Cause(
        "a folder that is not there",
        _with("no-folder", _model("s3://models/later")),
        "ModelNotFound",
        ("bucket 'models'", "'later/'", "spec.model.uri"),
        _uploads("models", "later"),
        meanwhile=WHILE_UPLOADED,
    ),
    Cause(
        "a port where nothing listens",
        _with("closed-port", _model(endpoint="http://closed:9")),
        "EndpointUnreachable",
        ("http://closed:9", "the connection is refused"),
        applies(in_front_of(store.NAME, "closed", 9, to=store.HTTP)),
        before=applies(in_front_of(store.NAME, "closed", 9, to=UNUSED_PORT)),
    ),
    Cause(
        "a host that is not there",
        _with("no-host", _model(endpoint=f"http://not-yet:{store.HTTP}")),
        "EndpointUnreachable",
        ("http://not-yet", "not known to DNS"),
        applies(in_front_of(store.NAME, "not-yet", store.HTTP)),
    ),
)


@pytest.fixture(scope="module")
def tenant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A namespace with a store of its own, in which the tiny model lies."""
    for namespace in namespace_for(request):
        folder = tmp_path_factory.mktemp("store")
        store.start_store(namespace, folder).fill("models", "tiny", _tiny(folder))
        yield namespace


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, tenant: Kubectl) -> Iterator[Mapping[str, Future[Took]]]:
    with side_by_side(tenant, selected(request, CAUSES), at_once=3) as results:
        yield results


@pytest.mark.parametrize("cause", CAUSES, ids=str)
def test_what_keeps_a_model_from_being_fetched_is_reported_by_name_and_its_cure_is_noticed(
    cause: Cause, played: Mapping[str, Future[Took]], request: pytest.FixtureRequest
) -> None:
    record(played[cause.what].result(), cause, request)


def test_a_fetch_reports_its_progress_and_its_failure_and_goes_on_once_the_store_is_back(tenant: Kubectl) -> None:
    own = store.Store(tenant)
    own.fill("models", "large", own.files("models", "tiny") | {"filler.bin": bytes(24_000_000)})
    counted_store.start_proxy(tenant, SLOW_BYTES_PER_S)

    with stories(tenant) as watched:
        tenant.apply(light("large", model=_model("s3://models/large", endpoint=counted_store.URL)))
        eventually(lambda: len(_steps(watched)) >= 2, within_s=90, every_s=0.5)

        stopped_s = time.monotonic()  # with the connections go the parts that were on their way
        counted_store.stop_proxy(tenant)
        tenant.wait("infsvc/large", "jsonpath={.status.reason}=EndpointUnreachable", 60)
        counted_store.start_proxy(tenant, SLOW_BYTES_PER_S)
        tenant.wait("infsvc/large", "jsonpath={.status.reason}=Fetching", 60)
        tenant.wait("infsvc/large", "condition=Ready", 120)

    failed_s = next(moment.at_s for moment in watched.of("large") if moment.reports()[0] == "EndpointUnreachable")
    before, after = _steps(watched, until_s=stopped_s), _steps(watched, since_s=failed_s)
    assert before == sorted(before), "progress went back"
    assert after == sorted(after), "progress went back after the store did"
    assert len(before) >= 2
    assert after


def _steps(watched: Stories, since_s: float = 0, until_s: float = math.inf) -> list[int]:
    """The percentages that the service reported, each once."""
    moments = [moment for moment in watched.of("large") if since_s <= moment.at_s <= until_s]
    messages = (moment.reports()[1] for moment in moments if moment.reports()[0] == "Fetching")
    percents = [int(message.split(" %")[0].split()[-1]) for message in messages if " %" in message]
    return list(dict.fromkeys(percents))
