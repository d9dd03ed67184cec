"""Models on a mounted volume: what the look at it finds, in the words of who must act."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.contract import names
from modelyard.fetcher.content.remote_file import FILES_LIMIT
from tests.fetcher.conftest import Pod
from tests.fetcher.places import Claim, opened


@pytest.fixture
def claim(bare_pod: Pod) -> Iterator[Claim]:
    with opened(Claim, bare_pod, None) as claim:
        assert isinstance(claim, Claim)
        claim.put({"config.json": b"{}"})
        yield claim


def test_nothing_is_copied_and_no_digest_is_reported(claim: Claim) -> None:
    state = claim.pod.attempt()
    assert (state.mounted, state.digest, state.cache_hit) == (True, None, None)
    assert not claim.pod.cache.exists()


def test_a_whole_claim_is_a_model_too_with_what_its_file_system_made(claim: Claim) -> None:
    (claim.volume / "lost+found").mkdir()
    claim.pod.environment[names.ENV_MODEL_URI] = "pvc://models"
    assert claim.pod.attempt().bytes_total == 2


def test_a_slash_at_the_uris_end_means_nothing(claim: Claim) -> None:
    claim.pod.environment[names.ENV_MODEL_URI] += "/"
    assert claim.pod.attempt().bytes_total == 2


def test_a_folder_that_comes_later_is_found_by_the_running_fetcher(claim: Claim) -> None:
    moved = claim.folder.rename(claim.volume / "elsewhere")
    running = claim.pod.start()
    error = claim.pod.error()
    assert error["reason"] == "ModelNotFound"
    assert "'teams' in claim 'models' does not contain 'model' (it contains nothing)" in error["message"]
    moved.rename(claim.folder)
    assert running.ends() == 0
    assert claim.pod.last_report()["error"] is None


def test_what_is_there_instead_is_listed_but_not_without_end(claim: Claim) -> None:
    for number in range(20):
        (claim.volume / "teams" / f"{number:02}").mkdir()
    claim.pod.environment[names.ENV_MODEL_URI] = "pvc://models/teams/absent"
    assert "(it contains 00, 01, 02, 03, 04, 05, 06, 07, 08, 09, ...)" in claim.pod.failed_attempt().message


def test_a_folder_without_a_file_is_no_model(claim: Claim) -> None:
    (claim.folder / "config.json").unlink()
    (claim.folder / "empty").mkdir()
    error = claim.pod.failed_attempt()
    assert error.reason == "ModelNotFound"
    assert "'teams/model' in claim 'models' contains no files" in error.message


def test_a_file_in_place_of_a_folder_is_reported(claim: Claim) -> None:
    claim.pod.environment[names.ENV_MODEL_URI] += "/config.json"
    error = claim.pod.failed_attempt()
    assert error.reason == "ModelNotFound"
    assert "is a file, but a model must be a folder" in error.message


def test_a_folder_may_be_a_link_to_another_of_the_claim(claim: Claim) -> None:
    (claim.volume / "latest").symlink_to("teams/model")
    claim.pod.environment[names.ENV_MODEL_URI] = "pvc://models/latest"
    assert claim.pod.attempt().bytes_total == 2


@pytest.mark.parametrize("target", ["/etc", "../.."])
def test_a_folder_that_is_a_link_out_of_the_claim_is_refused(claim: Claim, target: str) -> None:
    (claim.volume / "latest").symlink_to(target)
    claim.pod.environment[names.ENV_MODEL_URI] = "pvc://models/latest"
    error = claim.pod.failed_attempt()
    assert error.reason == "UnsafeKey"
    assert f"is a link to '{target}', which the engine cannot see" in error.message


def test_links_within_the_folder_are_fine_and_those_to_shared_files_beside_it_are_reported(claim: Claim) -> None:
    (claim.folder / "again.json").symlink_to("config.json")
    assert claim.pod.attempt().bytes_total == 4
    (claim.volume / "blobs").mkdir()
    (claim.volume / "blobs" / "weights").write_bytes(b"")
    (claim.folder / "weights").symlink_to("../../blobs/weights")
    error = claim.pod.failed_attempt()
    assert error.reason == "UnsafeKey"
    assert "cp --dereference" in error.message


def test_a_dangling_link_is_reported(claim: Claim) -> None:
    (claim.folder / "weights").symlink_to("absent")
    error = claim.pod.failed_attempt()
    assert error.reason == "ModelNotFound"
    assert "is a link to 'absent', which does not exist" in error.message


def test_a_path_that_leaves_the_claim_ends_the_fetcher_by_name(claim: Claim) -> None:
    claim.pod.environment[names.ENV_MODEL_URI] = "pvc://models/../etc"
    assert claim.pod.start().ends() == 1
    assert claim.pod.last_report()["error"]["reason"] == "InvalidConfiguration"


def test_more_files_than_a_model_has_are_a_wrong_folder(claim: Claim) -> None:
    for number in range(FILES_LIMIT):
        Path(claim.folder / str(number)).touch()
    assert claim.pod.failed_attempt().reason == "TooManyFiles"


def test_a_file_that_the_pod_may_not_read_is_reported_with_both_user_ids(claim: Claim) -> None:
    claim.request_what_is_denied()
    without = "-dac_override,-dac_read_search"  # which let root read what it likes
    before = ("setpriv", "--groups=65532,777", f"--inh-caps={without}", f"--bounding-set={without}")
    claim.pod.start(*(before if os.getuid() == 0 else ()))
    message = claim.pod.error()["message"]
    assert f"it belongs to {os.getuid()}:{os.getgid()} with mode 0000" in message
    groups = sorted({os.getgid(), *((65532, 777) if os.getuid() == 0 else os.getgroups())})
    assert f"user {os.getuid()} with the groups {', '.join(map(str, groups))}" in message
    assert "run_as_user and fs_group" in message
