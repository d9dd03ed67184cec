"""Models on a hub: revisions, who may see what, and who gets the token."""

import hashlib
import json
from collections.abc import Iterator

import pytest

from modelyard.contract import names
from tests.fetcher.conftest import Pod
from tests.fetcher.places import Hub, opened
from tests.support.forward_proxy import forward_proxy
from tests.support.model_hub import LARGE_BYTES, REPOSITORY, git_blob

LARGE = b"\0" * LARGE_BYTES
MODEL = {"config.json": b"{}", "weights": LARGE}


@pytest.fixture
def hub(bare_pod: Pod) -> Iterator[Hub]:
    with opened(Hub, bare_pod, None) as hub:
        assert isinstance(hub, Hub)
        hub.put(MODEL)
        yield hub


def test_the_digest_comes_from_the_hubs_checksums_of_large_and_small_files(hub: Hub) -> None:
    lines = [
        ["config.json", 2, "GitBlob", git_blob(b"{}")],
        ["weights", LARGE_BYTES, "SHA256", hashlib.sha256(LARGE).hexdigest()],
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    assert hub.pod.attempt().digest == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_a_branch_a_tag_with_slashes_and_a_commit_are_revisions(hub: Hub) -> None:
    commit = hub.hub.commit({"old": b"1"}, branch="refs/pr/1")
    hub.put(MODEL)
    for revision in ("refs/pr/1", commit):
        hub.pod.environment[names.ENV_MODEL_URI] = f"hf://{REPOSITORY}@{revision}"
        hub.pod.attempt()
        assert hub.pod.files() == {"old": b"1"}


def test_a_revision_that_is_not_there_is_named(hub: Hub) -> None:
    hub.pod.environment[names.ENV_MODEL_URI] = f"hf://{REPOSITORY}@v9"
    error = hub.pod.failed_attempt()
    assert error.reason == "ModelNotFound"
    assert "no branch, tag or commit 'v9'" in error.message


def test_a_repository_that_was_renamed_is_followed(hub: Hub) -> None:
    hub.hub.redirects["/api/models/old/revision/main"] = f"/api/models/{REPOSITORY}/revision/main?blobs=true"
    hub.hub.redirects |= {
        f"/old/resolve/{hub.hub.branches['main']}/{name}": (f"/{REPOSITORY}/resolve/{hub.hub.branches['main']}/{name}")
        for name in MODEL
    }
    hub.pod.environment[names.ENV_MODEL_URI] = "hf://old"
    hub.pod.attempt()
    assert hub.pod.files() == MODEL


def test_the_token_is_sent_to_the_hub_only(hub: Hub) -> None:
    hub.require_secret()
    hub.pod.give_keys(hub.right_secret)
    hub.pod.attempt()
    assert any("/cdn/" in request for request in hub.hub.requests)
    hosts = {host.partition(":")[0] for host, _ in hub.hub.authorizations}
    assert hosts == {"127.0.0.1"}


def test_the_token_follows_a_redirect_to_the_same_hub_however_that_is_written(hub: Hub) -> None:
    address = hub.link.endpoint.replace("127.0.0.1", "localhost")
    hub.pod.environment |= {
        names.ENV_HF_ENDPOINT: address.replace("localhost", "LocalHost"),
        names.ENV_MODEL_URI: "hf://old",
    }
    listing = f"/api/models/{REPOSITORY}/revision/main?blobs=true"
    hub.hub.redirects["/api/models/old/revision/main"] = f"{address}{listing}"
    hub.require_secret()
    hub.pod.give_keys(hub.right_secret)
    failure = hub.pod.failed_attempt()  # the files of the old name are not there
    assert failure.reason == "ModelNotFound"
    assert listing in hub.hub.requests


def test_a_private_repository_without_a_token_is_reported_with_where_to_put_one(hub: Hub) -> None:
    hub.hub.token = "hf_token"
    error = hub.pod.failed_attempt()
    assert error.reason == "CredentialsMissing"
    assert "key HF_TOKEN of a Secret" in error.message
    assert "spec.model.credentials.secretName" in error.message


def test_a_gated_repository_is_reported_with_the_hubs_own_message_and_the_secret(hub: Hub) -> None:
    hub.require_secret()
    hub.pod.give_keys(hub.right_secret)
    hub.request_what_is_denied()
    error = hub.pod.failed_attempt()
    assert error.reason == "AccessDenied"
    assert "you are not in the authorized list" in error.message
    assert "the token in key HF_TOKEN of Secret 's3-read'" in error.message


def test_a_redirect_target_that_refuses_is_reported_by_its_own_name(hub: Hub) -> None:
    hub.hub.cdn_refuses = True
    error = hub.pod.failed_attempt()
    assert error.reason == "SourceError"
    assert error.message.startswith(f"{hub.hub.cdn}/cdn/")
    assert "Signature" not in error.message


def test_a_redirect_without_a_target_is_reported(hub: Hub) -> None:
    hub.hub.redirects["/api/models/old/revision/main"] = ""
    hub.pod.environment[names.ENV_MODEL_URI] = "hf://old"
    failure = hub.pod.failed_attempt()
    assert failure.reason == "SourceError"
    assert "redirects (307) without a Location" in failure.message


def test_a_hub_that_limits_requests_is_named(hub: Hub) -> None:
    hub.hub.is_limited = True
    assert hub.pod.failed_attempt().reason == "Throttled"


def test_a_revision_without_files_is_no_model(hub: Hub) -> None:
    hub.put({})
    error = hub.pod.failed_attempt()
    assert error.reason == "ModelNotFound"
    assert "has no files" in error.message


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>Welcome</html>",
        b"[]",
        b'{"sha": "main", "siblings": []}',
        b'{"sha": "%s", "siblings": [{"rfilename": "weights"}]}' % (b"0" * 40),
        b'{"sha": "%s", "siblings": [{"rfilename": "weights", "size": -1, "blobId": ""}]}' % (b"0" * 40),
        b'{"sha": "%s", "siblings": [{"rfilename": "weights", "size": 1, "lfs": {"size": 1}}]}' % (b"0" * 40),
        b"[" * 100_000,
        b'{"sha": "%s", "siblings": [{"rfilename": "weights", "size": %s, "blobId": "%s"}]}'
        % (b"0" * 40, b"9" * 5000, b"0" * 40),
        b'{"sha": "%s", "siblings": [{"rfilename": "weights", "size": %s, "blobId": "%s"}]}'
        % (b"0" * 40, b"9" * 30, b"0" * 40),
        b'{"sha": "%s", "siblings": [5, ["weights"]]}' % (b"0" * 40),
    ],
)
def test_an_endpoint_that_is_no_hub_is_reported(hub: Hub, listing: bytes) -> None:
    hub.hub.listing = listing
    error = hub.pod.failed_attempt()
    assert error.reason == "SourceError"
    assert "correct spec.model.hf.endpoint" in error.message


def test_an_unreachable_hub_is_reported_with_what_to_do_in_a_cluster_without_internet_access(hub: Hub) -> None:
    hub.reach("https://huggingface.invalid")
    error = hub.pod.failed_attempt()
    assert error.reason == "EndpointUnreachable"
    for way in ("spec.model.hf.endpoint to a mirror", "spec.model.proxy", "s3://"):
        assert way in error.message


def test_hugging_faces_own_hub_is_used_where_no_other_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    del hub.pod.environment[names.ENV_HF_ENDPOINT]
    with forward_proxy() as proxy:
        proxy.refusal = 403
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert "to https://huggingface.co" in hub.pod.failed_attempt().message
        assert proxy.targets == ["huggingface.co:443"]


def test_a_mirror_without_tls_is_reached_through_a_proxy_too(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with forward_proxy() as proxy:
        hub.reach(hub.link.endpoint.replace("127.0.0.1", "hub.invalid"))
        hub.hub.cdn = hub.link.endpoint
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        hub.pod.attempt()
        assert f"hub.invalid:{hub.link.port}" in proxy.targets
    assert hub.pod.files() == MODEL
