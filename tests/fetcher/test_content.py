"""One service serves one content: the first that was verified, or the one that is pinned."""

from pathlib import Path

import pytest

from modelyard.contract import names
from tests.fetcher.conftest import Pod
from tests.support.faulty_proxy import Answer, FaultyProxy
from tests.support.object_store import ObjectStore

KEY = "0123456789abcdef"
MODEL = {"weights": b"the first content"}
OTHER = f"sha256:{'0' * 64}"


@pytest.fixture(autouse=True)
def model(store: ObjectStore) -> None:
    store.put("model/weights", MODEL["weights"])


@pytest.fixture
def revision(pod: Pod, tmp_path: Path) -> Path:
    """The file that the operator's ConfigMap shows to the pod, once the first digest is known."""
    folder = tmp_path / "revision"
    folder.mkdir()
    pod.environment |= {names.ENV_REVISION_FOLDER: str(folder), names.ENV_REVISION_KEY: KEY}
    return folder / KEY


def test_the_first_pod_of_a_revision_takes_what_the_source_has(pod: Pod, revision: Path) -> None:
    assert not revision.exists()
    pod.attempt()
    assert pod.files() == MODEL


def test_a_pod_that_finds_the_revisions_content_takes_it(pod: Pod, revision: Path) -> None:
    digest = pod.attempt().digest
    assert digest
    revision.write_text(f"{digest}\n")
    assert pod.attempt().digest == digest


def test_a_pod_that_finds_other_content_fails_by_name_and_goes_on_when_the_first_is_back(
    store: ObjectStore, pod: Pod, revision: Path
) -> None:
    first = pod.attempt().digest
    assert first
    pod.model().unlink()
    revision.write_text(first)
    store.put("model/weights", b"other content")
    running = pod.start()
    error = pod.error()
    assert error["reason"] == "SourceChanged"
    for words in (first, "restore that content", "set a new spec.model.revision"):
        assert words in error["message"]
    assert pod.files() == {}
    store.put("model/weights", MODEL["weights"])
    assert running.ends() == 0
    assert pod.files() == MODEL


def test_the_content_of_a_new_revision_is_accepted(store: ObjectStore, pod: Pod, revision: Path) -> None:
    digest = pod.attempt().digest
    assert digest
    revision.write_text(digest)
    store.put("model/weights", b"other content")
    pod.environment[names.ENV_REVISION_KEY] = KEY[::-1]
    pod.attempt()
    assert pod.files() == {"weights": b"other content"}


def test_a_digest_that_becomes_known_while_the_model_arrives_counts_too(
    pod: Pod, proxy: FaultyProxy, revision: Path
) -> None:
    def record_another(answer: Answer, data: bytes) -> bytes:
        if answer.request.startswith("GET /models/model/weights"):
            revision.write_text(OTHER)
        return data

    proxy.fault = record_another
    assert pod.failed_attempt().reason == "SourceChanged"


def test_a_pinned_digest_goes_before_the_revisions(pod: Pod, revision: Path) -> None:
    pod.environment[names.ENV_MODEL_DIGEST] = OTHER
    revision.write_text(f"sha256:{'1' * 64}")
    error = pod.failed_attempt()
    assert error.reason == "DigestMismatch"
    assert f"spec.model.digest is {OTHER}" in error.message


def test_a_text_that_is_no_digest_is_refused_and_cut(pod: Pod, revision: Path) -> None:
    revision.write_text("x" * 5000)
    error = pod.failed_attempt()
    assert error.reason == "SourceChanged"
    assert len(error.message) < 1000
